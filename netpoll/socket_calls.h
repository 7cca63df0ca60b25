// The system calls of sockets as netpoll uses them. They act on non-blocking descriptors, so they never block. (Those
// that move data also pass MSG_DONTWAIT, because O_NONBLOCK belongs to the open file, which a child may share and
// change.) They go straight into the kernel, so errno, whose address may change whenever a fiber moves, plays no part.
// Each returns a result >= 0 or a negated errno.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/syscall/raw_syscall.h>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <cstddef>

namespace baton::net::calls {

inline long answer(sys::result<long> r) noexcept { return r ? *r : -long{r.error()}; }

inline long receive(int fd, void* data, std::size_t size) noexcept {
  return answer(sys::raw_syscall(SYS_recvfrom, fd, data, size, int{MSG_DONTWAIT}, nullptr, nullptr));
}
// Throws away up to `size` bytes that have come: MSG_TRUNC does not copy them.
inline long discard(int fd, std::size_t size) noexcept {
  return answer(sys::raw_syscall(SYS_recvfrom, fd, nullptr, size, MSG_DONTWAIT | MSG_TRUNC, nullptr, nullptr));
}
// MSG_NOSIGNAL: a peer that has gone gives an error, not a SIGPIPE.
inline long send(int fd, const void* data, std::size_t size) noexcept {
  return answer(sys::raw_syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, 0));
}
inline long send_message(int fd, const msghdr& m) noexcept {
  return answer(sys::raw_syscall(SYS_sendmsg, fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT));
}
inline long accept(int fd, sockaddr_storage& from, socklen_t& size) noexcept {
  return answer(sys::raw_syscall(SYS_accept4, fd, &from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}
inline long open_socket(int family, int type, int protocol = 0) noexcept {
  return answer(sys::raw_syscall(SYS_socket, family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}
inline long connect(int fd, const address& to) noexcept {
  sockaddr_storage sa;
  const socklen_t size = to.to_sockaddr(sa);
  return answer(sys::raw_syscall(SYS_connect, fd, &sa, size));
}
inline long bind(int fd, const address& to) noexcept {
  sockaddr_storage sa;
  const socklen_t size = to.to_sockaddr(sa);
  return answer(sys::raw_syscall(SYS_bind, fd, &sa, size));
}
inline long listen(int fd, int backlog) noexcept { return answer(sys::raw_syscall(SYS_listen, fd, backlog)); }
inline long shutdown(int fd, int how) noexcept { return answer(sys::raw_syscall(SYS_shutdown, fd, how)); }

inline long set_option(int fd, int level, int option, int value) noexcept {
  return answer(sys::raw_syscall(SYS_setsockopt, fd, level, option, &value, sizeof value));
}
// Stores the option's value; returns -errno if it fails.
inline long get_option(int fd, int level, int option, int& value) noexcept {
  socklen_t size = sizeof value;
  return answer(sys::raw_syscall(SYS_getsockopt, fd, level, option, &value, &size));
}

inline long local_address(int fd, address& out) {
  sockaddr_storage sa;
  socklen_t size = sizeof sa;
  const long r = answer(sys::raw_syscall(SYS_getsockname, fd, &sa, &size));
  if (r >= 0) out = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&sa), size);
  return r;
}
inline long remote_address(int fd, address& out) {
  sockaddr_storage sa;
  socklen_t size = sizeof sa;
  const long r = answer(sys::raw_syscall(SYS_getpeername, fd, &sa, &size));
  if (r >= 0) out = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&sa), size);
  return r;
}

}  // namespace baton::net::calls
