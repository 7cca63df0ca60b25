// Typed calls on files, names and descriptors. Say sys:: in full; `using namespace` would clash with ::open.
//
// For all of them:
// - the arguments are the POSIX ones, memory as bytes or const_bytes; the answer is a result<T>, errno is
//   not touched;
// - **(S)** marks what can block: the fiber's P goes to others meanwhile, and the fiber may come back on
//   another thread. From a plain thread these just block. What is not marked never parks or migrates the
//   caller, and the scheduler is not told;
// - EINTR is retried, so no caller sees it, except where a comment says otherwise;
// - partial transfers are exposed: a count smaller than asked for is an ordinary answer;
// - thread-safe as the kernel's calls are. Bad pointers give EFAULT, bad descriptors EBADF: nothing aborts.
// A `path` is a std::string, a std::string_view or a NUL-terminated string, relative to the working directory if
// it does not begin with '/'; one with a NUL inside gives EINVAL.
// Descriptors are made as the flags say: pass O_CLOEXEC unless children are to inherit them.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/c_string.h>
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

// (S) A new descriptor. `mode` counts with O_CREAT and O_TMPFILE.
result<int> open(const c_string& path, int flags, ::mode_t mode = 0) noexcept;

// (S) The same with the rules of openat2(2) for the way to it (RESOLVE_BENEATH …). When a rename on the way makes
// the kernel unsure whether a rule holds (EAGAIN) it is tried again, 100 times at the most. ENOSYS before Linux 5.6.
result<int> openat2(int directory, const c_string& path, const ::open_how& how) noexcept;

// (S) Closes fd. Never tried again: whatever is returned, EINTR too, fd is free and may by then be
// somebody else's. An error tells of data that did not reach the file.
result<void> close(int fd) noexcept;

// (S) Bytes read; 0: end of file.
result<std::size_t> read(int fd, bytes into) noexcept;
result<std::size_t> pread(int fd, bytes into, ::off_t offset) noexcept;
result<std::size_t> readv(int fd, std::span<const ::iovec> into) noexcept;  // more than IOV_MAX (1024): EINVAL
result<std::size_t> preadv(int fd, std::span<const ::iovec> into, ::off_t offset) noexcept;

// (S) Bytes written, perhaps fewer than given. EPIPE comes with SIGPIPE, which does nothing unless
// options::ignore_sigpipe is false.
result<std::size_t> write(int fd, const_bytes from) noexcept;
result<std::size_t> pwrite(int fd, const_bytes from, ::off_t offset) noexcept;
result<std::size_t> writev(int fd, std::span<const ::iovec> from) noexcept;
result<std::size_t> pwritev(int fd, std::span<const ::iovec> from, ::off_t offset) noexcept;

// (S) Bytes moved from in_fd to out_fd within the kernel, at most `count`; 0: end of file. With an
// `offset` it is read from there, advanced, and in_fd's own is left alone.
result<std::size_t> sendfile(int out_fd, int in_fd, ::off_t* offset, std::size_t count) noexcept;

// (S) The new offset (another thread's read may hold the file's offset, so this can wait).
result<::off_t> lseek(int fd, ::off_t offset, int whence) noexcept;

// A second descriptor of the same open file; without O_CLOEXEC. With it: fcntl(fd, F_DUPFD_CLOEXEC, 0).
result<int> dup(int fd) noexcept;
// (S) fd `to` becomes a duplicate of `from`, closing what it was, which can block as close() can; flags: O_CLOEXEC or
// 0. EBUSY is a race with open() on another thread, and is returned.
result<int> dup3(int from, int to, int flags) noexcept;

// F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD, F_DUPFD_CLOEXEC, pipe sizes, seals ….
result<int> fcntl(int fd, int cmd, int arg = 0) noexcept;
// (S) for the record locks (F_SETLKW, F_OFD_SETLKW, and also those that do not wait, since a network
// file system has to ask); not for the others, such as F_SETOWN_EX.
result<int> fcntl(int fd, int cmd, void* arg) noexcept;

// (S) LOCK_SH, LOCK_EX, LOCK_UN, with LOCK_NB: EWOULDBLOCK instead of waiting.
result<void> flock(int fd, int operation) noexcept;

// (S) The file's data (and metadata) are on the device, or what went wrong on the way, told once.
result<void> fsync(int fd) noexcept;
result<void> fdatasync(int fd) noexcept;

// (S) The file has `length` bytes.
result<void> ftruncate(int fd, ::off_t length) noexcept;
result<void> truncate(const c_string& path, ::off_t length) noexcept;

// (S) What the kernel knows of a file; lstat does not follow a symbolic link.
result<void> stat(const c_string& path, struct ::stat* into) noexcept;
result<void> lstat(const c_string& path, struct ::stat* into) noexcept;
result<void> fstat(int fd, struct ::stat* into) noexcept;
result<struct ::stat> stat(const c_string& path) noexcept;
result<struct ::stat> lstat(const c_string& path) noexcept;
result<struct ::stat> fstat(int fd) noexcept;

// (S) Names.
result<void> mkdir(const c_string& path, ::mode_t mode) noexcept;
result<void> rmdir(const c_string& path) noexcept;
result<void> unlink(const c_string& path) noexcept;
result<void> rename(const c_string& from, const c_string& to) noexcept;
result<void> link(const c_string& existing, const c_string& path) noexcept;  // does not follow a symbolic link
result<void> symlink(const c_string& target, const c_string& path) noexcept;
result<void> chmod(const c_string& path, ::mode_t mode) noexcept;
result<void> chown(const c_string& path, ::uid_t owner, ::gid_t group) noexcept;

// (S) Bytes of the link's target now in `into`, without a NUL; as many as `into` has: perhaps cut off.
result<std::size_t> readlink(const c_string& path, bytes into) noexcept;

// (S) Directory entries (the kernel's struct linux_dirent64) as far as they fit; 0: no more.
result<std::size_t> getdents(int fd, bytes into) noexcept;

// The former mask of the process.
result<::mode_t> umask(::mode_t mask) noexcept;

// A pipe: [0] is read from, [1] written to. flags: O_CLOEXEC, O_NONBLOCK, O_DIRECT.
result<std::array<int, 2>> pipe2(int flags) noexcept;
result<void> pipe2(int (&fds)[2], int flags) noexcept;

// (S) How many of `fds` have events, within timeout_ms milliseconds; 0: none came; negative: wait for
// ever. After a signal it goes on with the time that is left. It does not use the netpoller: a thread waits.
result<int> poll(std::span<::pollfd> fds, int timeout_ms) noexcept;

}  // namespace baton::sys
