// The calls on files, pipes and terminals that may wait: for data, for room, for a lock, for the disk, or, of open(),
// for the other end of a FIFO. read() is in sockets.cc.
#include "call.h"

#include <fcntl.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace baton::interpose {

BATON_WRAP_TRAP(ssize_t, write, SYS_write, (int fd, const void* from, std::size_t size), (fd, from, size))
BATON_WRAP_TRAP(ssize_t, readv, SYS_readv, (int fd, const ::iovec* into, int n), (fd, into, n))
BATON_WRAP_TRAP(ssize_t, writev, SYS_writev, (int fd, const ::iovec* from, int n), (fd, from, n))
BATON_WRAP_TRAP(ssize_t, pread, SYS_pread64, (int fd, void* into, std::size_t size, ::off_t at), (fd, into, size, at))
BATON_WRAP_TRAP(ssize_t, pread64, SYS_pread64, (int fd, void* into, std::size_t size, ::off_t at), (fd, into, size, at))
BATON_WRAP(ssize_t, __pread_chk, (int fd, void* into, std::size_t size, ::off_t at, std::size_t room),
           (fd, into, size, at, room))
BATON_WRAP(ssize_t, __pread64_chk, (int fd, void* into, std::size_t size, ::off_t at, std::size_t room),
           (fd, into, size, at, room))
BATON_WRAP_TRAP(ssize_t, pwrite, SYS_pwrite64, (int fd, const void* from, std::size_t size, ::off_t at),
                (fd, from, size, at))
BATON_WRAP_TRAP(ssize_t, pwrite64, SYS_pwrite64, (int fd, const void* from, std::size_t size, ::off_t at),
                (fd, from, size, at))
BATON_WRAP(ssize_t, preadv, (int fd, const ::iovec* into, int n, ::off_t at), (fd, into, n, at))
BATON_WRAP(ssize_t, preadv64, (int fd, const ::iovec* into, int n, ::off_t at), (fd, into, n, at))
BATON_WRAP(ssize_t, pwritev, (int fd, const ::iovec* from, int n, ::off_t at), (fd, from, n, at))
BATON_WRAP(ssize_t, pwritev64, (int fd, const ::iovec* from, int n, ::off_t at), (fd, from, n, at))
BATON_WRAP(ssize_t, preadv2, (int fd, const ::iovec* into, int n, ::off_t at, int flags), (fd, into, n, at, flags))
BATON_WRAP(ssize_t, preadv64v2, (int fd, const ::iovec* into, int n, ::off_t at, int flags), (fd, into, n, at, flags))
BATON_WRAP(ssize_t, pwritev2, (int fd, const ::iovec* from, int n, ::off_t at, int flags), (fd, from, n, at, flags))
BATON_WRAP(ssize_t, pwritev64v2, (int fd, const ::iovec* from, int n, ::off_t at, int flags), (fd, from, n, at, flags))

BATON_WRAP(ssize_t, sendfile, (int to, int from, ::off_t* at, std::size_t size), (to, from, at, size))
BATON_WRAP(ssize_t, sendfile64, (int to, int from, ::off_t* at, std::size_t size), (to, from, at, size))
BATON_WRAP(ssize_t, splice, (int from, ::off_t* from_at, int to, ::off_t* to_at, std::size_t size, unsigned flags),
           (from, from_at, to, to_at, size, flags))
BATON_WRAP(ssize_t, tee, (int from, int to, std::size_t size, unsigned flags), (from, to, size, flags))
BATON_WRAP(ssize_t, vmsplice, (int to, const ::iovec* from, std::size_t n, unsigned flags), (to, from, n, flags))
BATON_WRAP(ssize_t, copy_file_range,
           (int from, ::off_t* from_at, int to, ::off_t* to_at, std::size_t size, unsigned flags),
           (from, from_at, to, to_at, size, flags))

BATON_WRAP(int, open, (const char* path, int flags, ::mode_t mode), (path, flags, mode))
BATON_WRAP(int, open64, (const char* path, int flags, ::mode_t mode), (path, flags, mode))
BATON_WRAP(int, __open_2, (const char* path, int flags), (path, flags))
BATON_WRAP(int, __open64_2, (const char* path, int flags), (path, flags))
BATON_WRAP(int, openat, (int folder, const char* path, int flags, ::mode_t mode), (folder, path, flags, mode))
BATON_WRAP(int, openat64, (int folder, const char* path, int flags, ::mode_t mode), (folder, path, flags, mode))
BATON_WRAP(int, __openat_2, (int folder, const char* path, int flags), (folder, path, flags))
BATON_WRAP(int, __openat64_2, (int folder, const char* path, int flags), (folder, path, flags))
BATON_WRAP(int, creat, (const char* path, ::mode_t mode), (path, mode))
BATON_WRAP(int, creat64, (const char* path, ::mode_t mode), (path, mode))

BATON_WRAP_TRAP(int, fsync, SYS_fsync, (int fd), (fd))
BATON_WRAP_TRAP(int, fdatasync, SYS_fdatasync, (int fd), (fd))
BATON_WRAP(int, syncfs, (int fd), (fd))
BATON_WRAP(void, sync, (), ())
BATON_WRAP(int, sync_file_range, (int fd, ::off_t at, ::off_t size, unsigned flags), (fd, at, size, flags))
BATON_WRAP(int, msync, (void* at, std::size_t size, int flags), (at, size, flags))
BATON_WRAP(int, tcdrain, (int fd), (fd))

BATON_WRAP_TRAP(int, flock, SYS_flock, (int fd, int operation), (fd, operation))
BATON_WRAP(int, lockf, (int fd, int command, ::off_t size), (fd, command, size))
BATON_WRAP(int, lockf64, (int fd, int command, ::off_t size), (fd, command, size))

namespace {

// The other commands of fcntl() do not wait, and are often called. arg is an integer or a pointer.
[[gnu::always_inline]] inline bool waits(int command) noexcept {
  return command == F_SETLKW || command == F_OFD_SETLKW;
}

}  // namespace

BATON_NEXT(int, fcntl, (int fd, int command, long arg))
int wrap_fcntl(int fd, int command, long arg) {
  if (!may_be_on_fiber() || !waits(command)) return next_fcntl()(fd, command, arg);
  const declared call(BATON_SITE(fcntl));
  return next_fcntl()(fd, command, arg);
}

BATON_NEXT(int, fcntl64, (int fd, int command, long arg))
int wrap_fcntl64(int fd, int command, long arg) {
  if (!may_be_on_fiber() || !waits(command)) return next_fcntl64()(fd, command, arg);
  const declared call(BATON_SITE(fcntl));
  return next_fcntl64()(fd, command, arg);
}

}  // namespace baton::interpose

extern "C" const char baton_interpose_files;
extern "C" const char baton_interpose_files = 0;  // see linked.cc
