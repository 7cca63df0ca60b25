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

// Makes the call of a wrapper whose entry is given, with arguments of which it is known that they let it not wait.
// Returns true if it had something to return: a value or an error, which is in errno. Otherwise errno is what it was.
template <long Number, class Next, class... Args>
[[gnu::always_inline]] inline bool tried(ssize_t& got, const next_entry& entry, Next next, Args... args) {
  if (entry.of_libc.load(mo::relaxed)) {
    const long answer = sys::detail::trap(Number, args...);
    if (answer == -EAGAIN) return false;
    got = answered(answer);
    return true;
  }
  const int saved = errno;
  got = next(args...);
  if (got >= 0 || errno != EAGAIN) return true;
  errno = saved;
  return false;
}
static_assert(EAGAIN == EWOULDBLOCK);

// Returns true for a call that may be tried, from a fiber.
[[gnu::always_inline]] inline bool may_be_tried(int flags) noexcept { return (flags & MSG_WAITALL) == 0 && counts(); }

}  // namespace

BATON_NEXT(ssize_t, recv, (int fd, void* into, std::size_t size, int flags))
BATON_NEXT(ssize_t, __recv_chk, (int fd, void* into, std::size_t size, std::size_t room, int flags))
BATON_NEXT(ssize_t, recvfrom,
           (int fd, void* into, std::size_t size, int flags, ::sockaddr* peer, ::socklen_t* peer_size))
BATON_NEXT(ssize_t, __recvfrom_chk,
           (int fd, void* into, std::size_t size, std::size_t room, int flags, ::sockaddr* peer,
            ::socklen_t* peer_size))
BATON_NEXT(ssize_t, recvmsg, (int fd, ::msghdr* message, int flags))
BATON_NEXT(ssize_t, read, (int fd, void* into, std::size_t size))
BATON_NEXT(ssize_t, __read_chk, (int fd, void* into, std::size_t size, std::size_t room))

namespace {

[[gnu::always_inline]] inline ssize_t receive(void* to, int fd, void* into, std::size_t size, int flags) {
  ssize_t got = 0;
  if (may_be_tried(flags) && tried<SYS_recvfrom>(got, entry_recv, next_recv(), fd, into, size, flags | MSG_DONTWAIT)) {
    return got;
  }
  const declared call(site_of("recv", to));
  return next_recv()(fd, into, size, flags);
}

[[gnu::always_inline]] inline ssize_t receive_from(void* to, int fd, void* into, std::size_t size, int flags,
                                                   ::sockaddr* peer, ::socklen_t* peer_size) {
  ssize_t got = 0;
  if (may_be_tried(flags) && tried<SYS_recvfrom>(got, entry_recvfrom, next_recvfrom(), fd, into, size,
                                                 flags | MSG_DONTWAIT, peer, peer_size)) {
    return got;
  }
  const declared call(site_of("recvfrom", to));
  return next_recvfrom()(fd, into, size, flags, peer, peer_size);
}

// On a socket, read() is recv() without flags, unless nothing is asked for. Returns false if fd is not a socket.
[[gnu::noinline]] bool read_tried(ssize_t& got, int fd, void* into, std::size_t size) {
  if (size == 0 || !counts()) return false;
  const int saved = errno;
  if (!tried<SYS_recvfrom>(got, entry_recv, next_recv(), fd, into, size, MSG_DONTWAIT)) return false;
  if (got >= 0 || errno != ENOTSOCK) return true;
  errno = saved;
  return false;
}

[[gnu::always_inline]] inline ssize_t read_from(void* to, int fd, void* into, std::size_t size) {
  call_site& site = site_of("read", to);
  ssize_t got = 0;
  if (__builtin_expect(blocks(site), 0) && read_tried(got, fd, into, size)) return got;
  const declared call(site);
  if (entry_read.of_libc.load(mo::relaxed)) return trap_to<SYS_read>(fd, into, size);
  return next_read()(fd, into, size);
}

}  // namespace

// With MSG_DONTWAIT a call does not wait. Where there is too little room, the fortified functions end the process.

ssize_t wrap_recv(int fd, void* into, std::size_t size, int flags) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) return next_recv()(fd, into, size, flags);
  return receive(__builtin_return_address(0), fd, into, size, flags);
}

ssize_t wrap___recv_chk(int fd, void* into, std::size_t size, std::size_t room, int flags) {
  if (!may_be_on_fiber() || size > room || (flags & MSG_DONTWAIT) != 0) {
    return next___recv_chk()(fd, into, size, room, flags);
  }
  return receive(__builtin_return_address(0), fd, into, size, flags);
}

ssize_t wrap_recvfrom(int fd, void* into, std::size_t size, int flags, ::sockaddr* peer, ::socklen_t* peer_size) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) {
    return next_recvfrom()(fd, into, size, flags, peer, peer_size);
  }
  return receive_from(__builtin_return_address(0), fd, into, size, flags, peer, peer_size);
}

ssize_t wrap___recvfrom_chk(int fd, void* into, std::size_t size, std::size_t room, int flags, ::sockaddr* peer,
                            ::socklen_t* peer_size) {
  if (!may_be_on_fiber() || size > room || (flags & MSG_DONTWAIT) != 0) {
    return next___recvfrom_chk()(fd, into, size, room, flags, peer, peer_size);
  }
  return receive_from(__builtin_return_address(0), fd, into, size, flags, peer, peer_size);
}

ssize_t wrap_recvmsg(int fd, ::msghdr* message, int flags) {
  if (!may_be_on_fiber() || (flags & MSG_DONTWAIT) != 0) return next_recvmsg()(fd, message, flags);
  ssize_t got = 0;
  if (may_be_tried(flags) &&
      tried<SYS_recvmsg>(got, entry_recvmsg, next_recvmsg(), fd, message, flags | MSG_DONTWAIT)) {
    return got;
  }
  const declared call(BATON_SITE(recvmsg));
  return next_recvmsg()(fd, message, flags);
}

ssize_t wrap_read(int fd, void* into, std::size_t size) {
  if (!may_be_on_fiber()) return next_read()(fd, into, size);
  return read_from(__builtin_return_address(0), fd, into, size);
}

ssize_t wrap___read_chk(int fd, void* into, std::size_t size, std::size_t room) {
  if (!may_be_on_fiber() || size > room) return next___read_chk()(fd, into, size, room);
  return read_from(__builtin_return_address(0), fd, into, size);
}

BATON_WRAP(int, recvmmsg, (int fd, ::mmsghdr* messages, unsigned n, int flags, ::timespec* timeout),
           (fd, messages, n, flags, timeout))
BATON_WRAP_TRAP(ssize_t, send, SYS_sendto, (int fd, const void* from, std::size_t size, int flags),
                (fd, from, size, flags))
BATON_WRAP_TRAP(ssize_t, sendto, SYS_sendto,
                (int fd, const void* from, std::size_t size, int flags, const ::sockaddr* peer, ::socklen_t peer_size),
                (fd, from, size, flags, peer, peer_size))
BATON_WRAP_TRAP(ssize_t, sendmsg, SYS_sendmsg, (int fd, const ::msghdr* message, int flags), (fd, message, flags))
BATON_WRAP(int, sendmmsg, (int fd, ::mmsghdr* messages, unsigned n, int flags), (fd, messages, n, flags))
BATON_WRAP_TRAP(int, connect, SYS_connect, (int fd, const ::sockaddr* peer, ::socklen_t size), (fd, peer, size))
BATON_WRAP(int, accept, (int fd, ::sockaddr* peer, ::socklen_t* size), (fd, peer, size))
BATON_WRAP_TRAP(int, accept4, SYS_accept4, (int fd, ::sockaddr* peer, ::socklen_t* size, int flags),
                (fd, peer, size, flags))

}  // namespace baton::interpose

extern "C" const char baton_interpose_sockets;
extern "C" const char baton_interpose_sockets = 0;  // see linked.cc
