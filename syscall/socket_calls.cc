// Creating, naming and querying sockets and setting their options completes within the kernel. connect, accept and
// moving data wait for a peer, so these tell the scheduler. (close, which can wait because of SO_LINGER, is in
// file_calls.cc.)
#include <baton/syscall/sockets.h>
#include <baton/syscall/typed_call.h>

#include <limits.h>
#include <algorithm>

namespace baton::sys {

using detail::blocking_call;
using detail::call;
using detail::on_eintr;

result<int> socket(int domain, int type, int protocol) noexcept {
  return call<SYS_socket, int>(domain, type, protocol);
}
result<void> socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept {
  return call<SYS_socketpair, void>(domain, type, protocol, &fds[0]);
}
result<std::array<int, 2>> socketpair(int domain, int type, int protocol) noexcept {
  int fds[2] = {-1, -1};
  if (const auto made = socketpair(domain, type, protocol, fds); !made) return failure(made.error());
  return std::array<int, 2>{fds[0], fds[1]};
}

result<void> bind(int fd, const ::sockaddr* local, ::socklen_t size) noexcept {
  return blocking_call<SYS_bind, void>(fd, local, size);
}
result<void> listen(int fd, int backlog) noexcept { return call<SYS_listen, void>(fd, backlog); }
result<int> accept4(int fd, ::sockaddr* peer, ::socklen_t* size, int flags) noexcept {
  return blocking_call<SYS_accept4, int>(fd, peer, size, flags);
}
result<int> accept4(int fd, int flags) noexcept { return accept4(fd, nullptr, nullptr, flags); }
result<void> connect(int fd, const ::sockaddr* peer, ::socklen_t size) noexcept {
  return blocking_call<SYS_connect, void, on_eintr::report>(fd, peer, size);
}
result<void> shutdown(int fd, int how) noexcept { return call<SYS_shutdown, void>(fd, how); }

result<void> getsockopt(int fd, int level, int name, void* value, ::socklen_t* size) noexcept {
  return call<SYS_getsockopt, void>(fd, level, name, value, size);
}
result<void> setsockopt(int fd, int level, int name, const void* value, ::socklen_t size) noexcept {
  return call<SYS_setsockopt, void>(fd, level, name, value, size);
}
result<int> getsockopt(int fd, int level, int name) noexcept {
  int value = 0;
  ::socklen_t size = sizeof value;
  if (const auto got = getsockopt(fd, level, name, &value, &size); !got) return failure(got.error());
  return value;
}
result<void> setsockopt(int fd, int level, int name, int value) noexcept {
  return setsockopt(fd, level, name, &value, sizeof value);
}
result<void> getsockname(int fd, ::sockaddr* local, ::socklen_t* size) noexcept {
  return call<SYS_getsockname, void>(fd, local, size);
}
result<void> getpeername(int fd, ::sockaddr* peer, ::socklen_t* size) noexcept {
  return call<SYS_getpeername, void>(fd, peer, size);
}

result<std::size_t> sendto(int fd, const_bytes from, int flags, const ::sockaddr* peer, ::socklen_t size) noexcept {
  return blocking_call<SYS_sendto, std::size_t>(fd, from.data(), from.size(), flags, peer, size);
}
result<std::size_t> send(int fd, const_bytes from, int flags) noexcept { return sendto(fd, from, flags, nullptr, 0); }
result<std::size_t> sendmsg(int fd, const ::msghdr* message, int flags) noexcept {
  return blocking_call<SYS_sendmsg, std::size_t>(fd, message, flags);
}
result<std::size_t> sendmmsg(int fd, std::span<::mmsghdr> messages, int flags) noexcept {
  const std::size_t room = std::min<std::size_t>(messages.size(), UINT_MAX);  // the kernel takes an unsigned int
  return blocking_call<SYS_sendmmsg, std::size_t>(fd, messages.data(), room, flags);
}
result<std::size_t> recvfrom(int fd, bytes into, int flags, ::sockaddr* peer, ::socklen_t* size) noexcept {
  return blocking_call<SYS_recvfrom, std::size_t>(fd, into.data(), into.size(), flags, peer, size);
}
result<std::size_t> recv(int fd, bytes into, int flags) noexcept { return recvfrom(fd, into, flags, nullptr, nullptr); }
result<std::size_t> recvmsg(int fd, ::msghdr* message, int flags) noexcept {
  return blocking_call<SYS_recvmsg, std::size_t>(fd, message, flags);
}
result<std::size_t> recvmmsg(int fd, std::span<::mmsghdr> messages, int flags) noexcept {
  const std::size_t room = std::min<std::size_t>(messages.size(), UINT_MAX);
  return blocking_call<SYS_recvmmsg, std::size_t>(fd, messages.data(), room, flags, nullptr);
}

}  // namespace baton::sys
