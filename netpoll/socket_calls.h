// The system calls of sockets as netpoll uses them. They act on non-blocking descriptors, so they never block. (Those
// that move data also pass MSG_DONTWAIT, because O_NONBLOCK belongs to the open file, which a child may share and
// change.) They go straight into the kernel, so errno, whose address may change whenever a fiber moves, plays no part.
// Each returns a result >= 0 or a negated errno.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/syscall/raw_syscall.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <algorithm>
#include <cstddef>
#include <cstdint>

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
inline long send_to(int fd, const void* data, std::size_t size, const address& to) noexcept {
  sockaddr_storage sa;
  const socklen_t sa_size = to.to_sockaddr(sa);
  return answer(sys::raw_syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT, &sa, sa_size));
}
// Returns the size of the whole datagram, also if the buffer has no room for it.
inline long receive_datagram(int fd, void* data, std::size_t size, sockaddr_storage* from,
                             socklen_t* from_size) noexcept {
  return answer(sys::raw_syscall(SYS_recvfrom, fd, data, size, MSG_DONTWAIT | MSG_TRUNC, from, from_size));
}
// Descriptors that come with the message are close-on-exec.
inline long receive_message(int fd, msghdr& m) noexcept {
  return answer(sys::raw_syscall(SYS_recvmsg, fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
}
// Return how many were sent or received.
inline long send_messages(int fd, mmsghdr* all, unsigned count) noexcept {
  return answer(sys::raw_syscall(SYS_sendmmsg, fd, all, count, MSG_NOSIGNAL | MSG_DONTWAIT));
}
inline long receive_messages(int fd, mmsghdr* all, unsigned count) noexcept {
  return answer(sys::raw_syscall(SYS_recvmmsg, fd, all, count, int{MSG_DONTWAIT}, nullptr));
}
inline long accept(int fd, sockaddr_storage& from, socklen_t& size) noexcept {
  return answer(sys::raw_syscall(SYS_accept4, fd, &from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}
inline long open_socket(int family, int type, int protocol = 0) noexcept {
  return answer(sys::raw_syscall(SYS_socket, family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}
inline long open_pair(int type, int (&fds)[2]) noexcept {
  return answer(sys::raw_syscall(SYS_socketpair, AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, &fds[0]));
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
inline long set_option(int fd, int level, int option, const void* value, socklen_t size) noexcept {
  return answer(sys::raw_syscall(SYS_setsockopt, fd, level, option, value, size));
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

// The whole seconds that TCP's timers take, rounded up, at most MAX_TCP_KEEPIDLE.
inline int whole_seconds(std::int64_t ns) noexcept {
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t seconds_max = 32767;
  return static_cast<int>(std::clamp<std::int64_t>(ns / second + (ns % second > 0 ? 1 : 0), 0, seconds_max));
}

// Probes an idle connection this often; 0: never.
inline long set_keep_alive(int fd, int seconds) noexcept {
  long r = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, seconds > 0 ? 1 : 0);
  if (r >= 0 && seconds > 0) r = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  if (r >= 0 && seconds > 0) r = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
  return r;
}

}  // namespace baton::net::calls
