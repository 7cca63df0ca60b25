// System calls that do not block, as their caller has made sure: on descriptors with O_NONBLOCK, or with MSG_DONTWAIT
// or RWF_NOWAIT among the flags. EAGAIN says that the call would have blocked. They are also for callers that declare
// the call by other means.
//
// None of them tells the scheduler, parks or migrates its caller. On a descriptor that does block, the fiber's P is
// blocked, too. EINTR is retried, except by connect. Otherwise the calls do what their namesakes in files.h and
// sockets.h do.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/result.h>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <cstddef>
#include <span>

namespace baton::sys::nb {

inline result<std::size_t> read(int fd, bytes into) noexcept {
  return detail::call<SYS_read, std::size_t>(fd, into.data(), into.size());
}
inline result<std::size_t> write(int fd, const_bytes from) noexcept {
  return detail::call<SYS_write, std::size_t>(fd, from.data(), from.size());
}
inline result<std::size_t> readv(int fd, std::span<const ::iovec> into) noexcept {
  return detail::call<SYS_readv, std::size_t>(fd, into.data(), into.size());
}
inline result<std::size_t> writev(int fd, std::span<const ::iovec> from) noexcept {
  return detail::call<SYS_writev, std::size_t>(fd, from.data(), from.size());
}

inline result<std::size_t> pread(int fd, bytes into, ::off_t offset) noexcept {
  return detail::call<SYS_pread64, std::size_t>(fd, into.data(), into.size(), offset);
}

inline result<std::size_t> pwrite(int fd, const_bytes from, ::off_t offset) noexcept {
  return detail::call<SYS_pwrite64, std::size_t>(fd, from.data(), from.size(), offset);
}

// Reads at an offset (-1: the file's own), with flags. RWF_NOWAIT: reads only what is in the page cache. A short count
// then means that the rest would block; EOPNOTSUPP means that this file system cannot tell.
inline result<std::size_t> preadv2(int fd, std::span<const ::iovec> into, ::off_t offset, int flags) noexcept {
  return detail::call<SYS_preadv2, std::size_t>(fd, into.data(), into.size(), offset, offset < 0 ? -1L : 0L, flags);
}

// The same for a write.
inline result<std::size_t> pwritev2(int fd, std::span<const ::iovec> from, ::off_t offset, int flags) noexcept {
  return detail::call<SYS_pwritev2, std::size_t>(fd, from.data(), from.size(), offset, offset < 0 ? -1L : 0L, flags);
}

inline result<int> accept4(int fd, ::sockaddr* peer, ::socklen_t* size, int flags) noexcept {
  return detail::call<SYS_accept4, int>(fd, peer, size, flags);
}
// EINPROGRESS and EINTR mean that the connection is being made: wait until fd is writable, then ask for SO_ERROR.
inline result<void> connect(int fd, const ::sockaddr* peer, ::socklen_t size) noexcept {
  return detail::call<SYS_connect, void, detail::on_eintr::report>(fd, peer, size);
}

inline result<std::size_t> recvfrom(int fd, bytes into, int flags, ::sockaddr* peer, ::socklen_t* size) noexcept {
  return detail::call<SYS_recvfrom, std::size_t>(fd, into.data(), into.size(), flags, peer, size);
}
inline result<std::size_t> sendto(int fd, const_bytes from, int flags, const ::sockaddr* peer,
                                  ::socklen_t size) noexcept {
  return detail::call<SYS_sendto, std::size_t>(fd, from.data(), from.size(), flags, peer, size);
}
inline result<std::size_t> recvmsg(int fd, ::msghdr* message, int flags) noexcept {
  return detail::call<SYS_recvmsg, std::size_t>(fd, message, flags);
}
inline result<std::size_t> sendmsg(int fd, const ::msghdr* message, int flags) noexcept {
  return detail::call<SYS_sendmsg, std::size_t>(fd, message, flags);
}

// Does not wait for the socket out_fd. If pages of in_fd are on a disk, it does wait for them.
inline result<std::size_t> sendfile(int out_fd, int in_fd, ::off_t* offset, std::size_t count) noexcept {
  return detail::call<SYS_sendfile, std::size_t>(out_fd, in_fd, offset, count);
}

}  // namespace baton::sys::nb
