// Public API: typed calls on open files and descriptors. Write sys:: in full; `using namespace` would clash with
// ::open.
//
// For all of them:
// - the arguments are the POSIX ones, with memory as bytes or const_bytes; the answer is a result<T>; errno is not
//   touched;
// - "Switches." marks a call that can block: other fibers use the fiber's P meanwhile, and the fiber may come back on
//   another thread. On a plain thread such a call only blocks. A call without the mark never parks or migrates its
//   caller, and the scheduler is not told;
// - EINTR is retried, so no caller sees it, except where a comment says otherwise;
// - partial transfers are visible: a count smaller than the one asked for is an ordinary answer;
// - they are as thread-safe as the kernel's calls. Bad pointers give EFAULT, bad descriptors EBADF: nothing aborts.
// Further headers, for which the same holds: names.h (paths and what they name, included here), transfers.h, storage.h,
// memory.h, xattr.h, event_descriptors.h, sockets.h, processes.h, ids.h, scheduling.h, system.h, time.h.
//
// A `path` is a std::string, a std::string_view or a NUL-terminated string. It is relative to the working directory if
// it does not begin with '/', or to the descriptor `directory` of an *at call (AT_FDCWD: the working directory). A path
// with a NUL inside gives EINVAL. The flags say how descriptors are made: pass O_CLOEXEC unless children are to inherit
// them.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/c_string.h>
#include <baton/syscall/names.h>
#include <baton/syscall/result.h>

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <array>
#include <cstddef>
#include <span>

namespace baton::sys {

// Switches. Returns a new descriptor. `mode` counts with O_CREAT and O_TMPFILE.
result<int> open(const c_string& path, int flags, ::mode_t mode = 0) noexcept;
result<int> openat(int directory, const c_string& path, int flags, ::mode_t mode = 0) noexcept;

// Switches. Does the same under the rules of openat2(2) for resolving the path (RESOLVE_BENEATH …). When a concurrent
// rename keeps the kernel from telling whether a rule holds (EAGAIN), the call is tried again, at most 100 times.
// ENOSYS before Linux 5.6.
result<int> openat2(int directory, const c_string& path, const ::open_how& how) noexcept;

// Switches. Closes fd. Never retried: whatever close returns, including EINTR, fd is free and may already belong to
// other code. An error tells of data that did not reach the file.
result<void> close(int fd) noexcept;

// Switches. Closes all descriptors from `first` to `last`, also those of other code: for a process of its own. Not
// retried. flags: CLOSE_RANGE_CLOEXEC (marks them instead), CLOSE_RANGE_UNSHARE. ENOSYS before Linux 5.9.
result<void> close_range(unsigned first, unsigned last, unsigned flags) noexcept;

// Switches. Returns the number of bytes read; 0: end of file.
result<std::size_t> read(int fd, bytes into) noexcept;
result<std::size_t> pread(int fd, bytes into, ::off_t offset) noexcept;
result<std::size_t> readv(int fd, std::span<const ::iovec> into) noexcept;  // more than IOV_MAX (1024): EINVAL
result<std::size_t> preadv(int fd, std::span<const ::iovec> into, ::off_t offset) noexcept;
// With flags: RWF_HIPRI, RWF_NOWAIT (EAGAIN instead of waiting for a device) …. EOPNOTSUPP: this file has no such flag.
// Offset -1: at the file's own offset, which advances.
result<std::size_t> preadv2(int fd, std::span<const ::iovec> into, ::off_t offset, int flags) noexcept;

// Switches. Returns the number of bytes written, perhaps fewer than given. EPIPE comes with SIGPIPE, which does nothing
// unless options::ignore_sigpipe is false.
result<std::size_t> write(int fd, const_bytes from) noexcept;
result<std::size_t> pwrite(int fd, const_bytes from, ::off_t offset) noexcept;
result<std::size_t> writev(int fd, std::span<const ::iovec> from) noexcept;
result<std::size_t> pwritev(int fd, std::span<const ::iovec> from, ::off_t offset) noexcept;
// With flags: RWF_DSYNC, RWF_SYNC, RWF_APPEND …; else as preadv2.
result<std::size_t> pwritev2(int fd, std::span<const ::iovec> from, ::off_t offset, int flags) noexcept;

// Switches. Moves at most `count` bytes from in_fd to out_fd within the kernel and returns how many; 0: end of file.
// With an `offset`, reads from there and advances it, and leaves in_fd's own offset alone.
result<std::size_t> sendfile(int out_fd, int in_fd, ::off_t* offset, std::size_t count) noexcept;

// Switches. Returns the new offset. It can wait, because another thread's read may hold the file's offset.
result<::off_t> lseek(int fd, ::off_t offset, int whence) noexcept;

// Returns a second descriptor of the same open file, without O_CLOEXEC. For one with it: fcntl(fd, F_DUPFD_CLOEXEC, 0).
result<int> dup(int fd) noexcept;
// Switches. Makes fd `to` a duplicate of `from`. Closes what `to` was, which can block as close() can. flags: O_CLOEXEC
// or 0. EBUSY is a race with open() on another thread, and is returned.
result<int> dup3(int from, int to, int flags) noexcept;

// F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD, F_DUPFD_CLOEXEC, pipe sizes, seals ….
result<int> fcntl(int fd, int cmd, int arg = 0) noexcept;
// Switches. For the record locks (F_SETLKW, F_OFD_SETLKW, and also those that do not wait, because a network file
// system has to ask its server); not for other commands such as F_SETOWN_EX.
result<int> fcntl(int fd, int cmd, void* arg) noexcept;

// Switches. Makes a request of a device or a file system: of its arguments and its answer only the driver knows more.
// EINTR is returned, because only the driver knows what was done by then.
result<int> ioctl(int fd, unsigned long request, void* arg) noexcept;
result<int> ioctl(int fd, unsigned long request, int arg = 0) noexcept;

// Switches. LOCK_SH, LOCK_EX or LOCK_UN; with LOCK_NB, EWOULDBLOCK instead of waiting.
result<void> flock(int fd, int operation) noexcept;

// Switches. Waits until the file's data (and metadata) are on the device. Returns what went wrong on the way, once.
result<void> fsync(int fd) noexcept;
result<void> fdatasync(int fd) noexcept;

// Switches. Gives the file a size of `length` bytes.
result<void> ftruncate(int fd, ::off_t length) noexcept;
result<void> truncate(const c_string& path, ::off_t length) noexcept;

// Switches. Writes as many directory entries (the kernel's struct linux_dirent64) as fit; 0: no more.
result<std::size_t> getdents(int fd, bytes into) noexcept;

// Makes a pipe: [0] is for reading, [1] for writing. flags: O_CLOEXEC, O_NONBLOCK, O_DIRECT.
result<std::array<int, 2>> pipe2(int flags) noexcept;
result<void> pipe2(int (&fds)[2], int flags) noexcept;

// Switches. Returns how many of `fds` have events within timeout_ms milliseconds; 0: none; negative timeout: waits for
// ever. After a signal it continues with the remaining time. It does not use the netpoller: a thread waits.
result<int> poll(std::span<::pollfd> fds, int timeout_ms) noexcept;

}  // namespace baton::sys
