// Public API: typed calls on the space of files and file systems, and on what the kernel keeps of them in memory. The
// rules that files.h states for all typed calls apply here, too.
#pragma once

#include <baton/syscall/c_string.h>
#include <baton/syscall/result.h>

#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <cstddef>

namespace baton::sys {

// Switches. What is known of the file system that holds the file: type, size, free space.
result<void> statfs(const c_string& path, struct ::statfs* into) noexcept;
result<void> fstatfs(int fd, struct ::statfs* into) noexcept;
result<struct ::statfs> statfs(const c_string& path) noexcept;
result<struct ::statfs> fstatfs(int fd) noexcept;

// Switches. Gives a part of a file its space on the device, or takes it away (mode: FALLOC_FL_KEEP_SIZE,
// FALLOC_FL_PUNCH_HOLE, …). EOPNOTSUPP: this file system cannot. EINTR is returned: a file system may undo what it had
// done by then, so a call that is tried again under a timer's signals might never end.
result<void> fallocate(int fd, int mode, ::off_t offset, ::off_t length) noexcept;

// Switches. Says how a part of a file will be used (POSIX_FADV_…; length 0: up to the end). WILLNEED begins reading.
result<void> posix_fadvise(int fd, ::off_t offset, ::off_t length, int advice) noexcept;

// Switches. Reads a part of a file into the page cache.
result<void> readahead(int fd, ::off_t offset, std::size_t count) noexcept;

// Switches. Begins writing back a part of a file, or waits for that (SYNC_FILE_RANGE_…). It writes no metadata, so the
// data are not safe afterwards: fdatasync makes them so.
result<void> sync_file_range(int fd, ::off_t offset, ::off_t length, unsigned flags) noexcept;

// Switches. Waits until everything of the file system that holds fd is on its device; sync: of all file systems.
result<void> syncfs(int fd) noexcept;
result<void> sync() noexcept;

}  // namespace baton::sys
