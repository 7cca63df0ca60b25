// read(), and the calls on sockets.
//
// One place in a library often makes calls that wait and calls that do not: the answer of a server is there already, or
// is not. What a call site learns is of no use then. So a receiving call is tried first without waiting. An answer that
// is there costs no declared call at all, and the site learns from those calls that had to wait. A descriptor that is
// not to block says EAGAIN twice.
//
// A try may differ from the call in what it returns. With MSG_WAITALL it would return less; a sending call would send
// less than all. These are declared at once. read() is tried only where the site is expected to block, because on what
// is no socket a try is a system call for nothing.
#include "call.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <ctime>

namespace baton::interpose {

namespace {

// Calls try_it(), which must not wait. Returns true if it had something to return: a value or an error, which is in
// errno. Otherwise errno is what it was.
template <class TryIt>
[[gnu::always_inline]] inline bool tried(ssize_t& got, TryIt try_it) {
  const int saved = errno;
  got = try_it();
  if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return true;
  errno = saved;
  return false;
}

[[gnu::always_inline]] inline bool may_be_tried(int flags) noexcept { return (flags & MSG_WAITALL) == 0; }

}  // namespace

BATON_NEXT(ssize_t, recv, (int fd, void* into, std::size_t size, int flags))
ssize_t wrap_recv(int fd, void* into, std::size_t size, int flags) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) return next_recv()(fd, into, size, flags);
  ssize_t got = 0;
  if (may_be_tried(flags) && counts() &&
      tried(got, [&] { return next_recv()(fd, into, size, flags | MSG_DONTWAIT); })) {
    return got;
  }
  BATON_DECLARED(recv);
  return next_recv()(fd, into, size, flags);
}

BATON_NEXT(ssize_t, __recv_chk, (int fd, void* into, std::size_t size, std::size_t room, int flags))
ssize_t wrap___recv_chk(int fd, void* into, std::size_t size, std::size_t room, int flags) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) return next___recv_chk()(fd, into, size, room, flags);
  ssize_t got = 0;
  if (may_be_tried(flags) && counts() &&
      tried(got, [&] { return next___recv_chk()(fd, into, size, room, flags | MSG_DONTWAIT); })) {
    return got;
  }
  BATON_DECLARED(recv);
  return next___recv_chk()(fd, into, size, room, flags);
}

BATON_NEXT(ssize_t, recvfrom,
           (int fd, void* into, std::size_t size, int flags, ::sockaddr* peer, ::socklen_t* peer_size))
ssize_t wrap_recvfrom(int fd, void* into, std::size_t size, int flags, ::sockaddr* peer, ::socklen_t* peer_size) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) {
    return next_recvfrom()(fd, into, size, flags, peer, peer_size);
  }
  ssize_t got = 0;
  if (may_be_tried(flags) && counts() &&
      tried(got, [&] { return next_recvfrom()(fd, into, size, flags | MSG_DONTWAIT, peer, peer_size); })) {
    return got;
  }
  BATON_DECLARED(recvfrom);
  return next_recvfrom()(fd, into, size, flags, peer, peer_size);
}

BATON_NEXT(ssize_t, __recvfrom_chk,
           (int fd, void* into, std::size_t size, std::size_t room, int flags, ::sockaddr* peer,
            ::socklen_t* peer_size))
ssize_t wrap___recvfrom_chk(int fd, void* into, std::size_t size, std::size_t room, int flags, ::sockaddr* peer,
                            ::socklen_t* peer_size) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) {
    return next___recvfrom_chk()(fd, into, size, room, flags, peer, peer_size);
  }
  ssize_t got = 0;
  if (may_be_tried(flags) && counts() &&
      tried(got, [&] { return next___recvfrom_chk()(fd, into, size, room, flags | MSG_DONTWAIT, peer, peer_size); })) {
    return got;
  }
  BATON_DECLARED(recvfrom);
  return next___recvfrom_chk()(fd, into, size, room, flags, peer, peer_size);
}

BATON_NEXT(ssize_t, recvmsg, (int fd, ::msghdr* message, int flags))
ssize_t wrap_recvmsg(int fd, ::msghdr* message, int flags) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) return next_recvmsg()(fd, message, flags);
  ssize_t got = 0;
  if (may_be_tried(flags) && counts() &&
      tried(got, [&] { return next_recvmsg()(fd, message, flags | MSG_DONTWAIT); })) {
    return got;
  }
  BATON_DECLARED(recvmsg);
  return next_recvmsg()(fd, message, flags);
}

namespace {

// On a socket, read() is recv() without flags, unless nothing is asked for. Returns false if fd is no socket.
[[gnu::noinline]] bool read_tried(ssize_t& got, int fd, void* into, std::size_t size) {
  if (size == 0 || !counts()) return false;
  const int saved = errno;
  if (!tried(got, [&] { return next_recv()(fd, into, size, MSG_DONTWAIT); })) return false;
  if (got >= 0 || errno != ENOTSOCK) return true;
  errno = saved;
  return false;
}

}  // namespace

BATON_NEXT(ssize_t, read, (int fd, void* into, std::size_t size))
ssize_t wrap_read(int fd, void* into, std::size_t size) {
  if (!may_be_on_fiber()) return next_read()(fd, into, size);
  ssize_t got = 0;
  if (blocks("read", __builtin_return_address(0)) && read_tried(got, fd, into, size)) return got;
  BATON_DECLARED(read);
  return next_read()(fd, into, size);
}

BATON_NEXT(ssize_t, __read_chk, (int fd, void* into, std::size_t size, std::size_t room))
ssize_t wrap___read_chk(int fd, void* into, std::size_t size, std::size_t room) {
  if (!may_be_on_fiber()) return next___read_chk()(fd, into, size, room);
  ssize_t got = 0;
  if (size <= room && blocks("read", __builtin_return_address(0)) && read_tried(got, fd, into, size)) return got;
  BATON_DECLARED(read);
  return next___read_chk()(fd, into, size, room);
}

BATON_WRAP(int, recvmmsg, (int fd, ::mmsghdr* messages, unsigned n, int flags, ::timespec* timeout),
           (fd, messages, n, flags, timeout))
BATON_WRAP(ssize_t, send, (int fd, const void* from, std::size_t size, int flags), (fd, from, size, flags))
BATON_WRAP(ssize_t, sendto,
           (int fd, const void* from, std::size_t size, int flags, const ::sockaddr* peer, ::socklen_t peer_size),
           (fd, from, size, flags, peer, peer_size))
BATON_WRAP(ssize_t, sendmsg, (int fd, const ::msghdr* message, int flags), (fd, message, flags))
BATON_WRAP(int, sendmmsg, (int fd, ::mmsghdr* messages, unsigned n, int flags), (fd, messages, n, flags))
BATON_WRAP(int, connect, (int fd, const ::sockaddr* peer, ::socklen_t size), (fd, peer, size))
BATON_WRAP(int, accept, (int fd, ::sockaddr* peer, ::socklen_t* size), (fd, peer, size))
BATON_WRAP(int, accept4, (int fd, ::sockaddr* peer, ::socklen_t* size, int flags), (fd, peer, size, flags))

}  // namespace baton::interpose

extern "C" const char baton_interpose_sockets;
extern "C" const char baton_interpose_sockets = 0;  // see linked.cc
