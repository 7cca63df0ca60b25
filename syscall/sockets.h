// Public API: typed calls on sockets as they are: a blocking socket blocks a thread. Calls that park only the fiber are
// netpoll's. The rules that files.h states for all typed calls apply here, too. Useful flags: SOCK_CLOEXEC and
// SOCK_NONBLOCK for calls that make descriptors, MSG_NOSIGNAL for calls that send.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/result.h>

#include <sys/socket.h>
#include <array>
#include <cstddef>
#include <span>

namespace baton::sys {

// Returns a new socket's descriptor.
result<int> socket(int domain, int type, int protocol = 0) noexcept;
// Makes two sockets that are connected with each other.
result<std::array<int, 2>> socketpair(int domain, int type, int protocol = 0) noexcept;
result<void> socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept;

// Switches. A unix-domain path is made in the file system, which can block.
result<void> bind(int fd, const ::sockaddr* local, ::socklen_t size) noexcept;
result<void> listen(int fd, int backlog) noexcept;

// Switches. Returns the descriptor of the next connection. Writes the peer's address to *peer unless `peer` is null.
// *size is the room there, and afterwards the address's own size.
result<int> accept4(int fd, ::sockaddr* peer, ::socklen_t* size, int flags) noexcept;
result<int> accept4(int fd, int flags) noexcept;

// Switches. Not retried after EINTR, which is returned while the connection is still being made. Wait until fd is
// writable, then ask for SO_ERROR.
result<void> connect(int fd, const ::sockaddr* peer, ::socklen_t size) noexcept;

// Ends sending (SHUT_WR), receiving (SHUT_RD) or both (SHUT_RDWR).
result<void> shutdown(int fd, int how) noexcept;

result<void> getsockopt(int fd, int level, int name, void* value, ::socklen_t* size) noexcept;
result<void> setsockopt(int fd, int level, int name, const void* value, ::socklen_t size) noexcept;
// Options whose value is an int.
result<int> getsockopt(int fd, int level, int name) noexcept;
result<void> setsockopt(int fd, int level, int name, int value) noexcept;

result<void> getsockname(int fd, ::sockaddr* local, ::socklen_t* size) noexcept;
result<void> getpeername(int fd, ::sockaddr* peer, ::socklen_t* size) noexcept;

// Switches. Returns the number of bytes sent, on a stream perhaps fewer than given. Sends to `peer`, or, if that is
// null, to the peer that fd is connected to.
result<std::size_t> sendto(int fd, const_bytes from, int flags, const ::sockaddr* peer, ::socklen_t size) noexcept;
result<std::size_t> send(int fd, const_bytes from, int flags = 0) noexcept;
result<std::size_t> sendmsg(int fd, const ::msghdr* message, int flags) noexcept;
// Switches. Sends several messages and returns how many were sent, at most 1024; each msg_len says how much of it. An
// error that comes after the first message is kept for the next call.
result<std::size_t> sendmmsg(int fd, std::span<::mmsghdr> messages, int flags) noexcept;

// Switches. Returns the number of bytes received; on a stream 0 is its end. A larger datagram is cut off; with
// MSG_TRUNC among the flags, its whole size is returned.
result<std::size_t> recvfrom(int fd, bytes into, int flags, ::sockaddr* peer, ::socklen_t* size) noexcept;
result<std::size_t> recv(int fd, bytes into, int flags = 0) noexcept;
result<std::size_t> recvmsg(int fd, ::msghdr* message, int flags) noexcept;
// Switches. Receives several messages and returns how many. Waits for the first one, and for the others unless
// MSG_WAITFORONE is among the flags. The kernel's timeout is not offered: it is looked at only when a message has come,
// so it does not end a wait (SO_RCVTIMEO does).
result<std::size_t> recvmmsg(int fd, std::span<::mmsghdr> messages, int flags) noexcept;

}  // namespace baton::sys
