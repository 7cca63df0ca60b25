// Sending and receiving one datagram. Internal to netpoll. A state has a descriptor `io` and name().
#pragma once

#include <baton/netpoll/datagram.h>
#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace baton::net {

// Takes the answer of a call on a datagram, a count or -errno, into account.
inline io_step datagram_step(io_result& r, long n) noexcept {
  if (n == -EAGAIN) return io_step::again;
  if (n == -EINTR) return io_step::more;
  if (n < 0) {
    r.error = static_cast<int>(-n);
  } else {
    r.count = static_cast<std::size_t>(n);
  }
  return io_step::done;
}

// Switches. call(fd) sends and returns the size or -errno. object() names the socket and the receiver.
template <class State, class Call, class Object>
absl::StatusOr<std::size_t> send_datagram(State& s, Call&& call, Object&& object) {
  absl::Status error;
  const io_result r = s.io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&call](int fd, io_result& so_far) { return datagram_step(so_far, call(fd)); },
      [&](const io_result& bad) { error = s.io.status_of(bad, "send", object()); });
  if (r.ok()) return r.count;
  return error;
}

// Switches.
template <class State>
absl::StatusOr<datagram> receive_datagram(State& s, bytes buffer) {
  absl::Status error;
  sockaddr_storage from;
  socklen_t from_size = 0;
  const std::size_t room = std::min(buffer.size(), call_max);
  const io_result r = s.io.transfer(
      poll_side::read, sched::wait_reason::descriptor_read,
      [&](int fd, io_result& so_far) {
        from_size = sizeof from;
        return datagram_step(so_far, calls::receive_datagram(fd, buffer.data(), room, &from, &from_size));
      },
      [&](const io_result& bad) { error = s.io.status_of(bad, "receive", s.name()); });
  if (!r.ok()) return error;
  datagram d;
  d.size = std::min(r.count, room);
  d.from = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&from), from_size);
  d.truncated = r.count > room;
  return d;
}

// Switches. Returns the size; EMSGSIZE if the buffer has no room for the datagram.
template <class State>
absl::StatusOr<std::size_t> receive_whole_datagram(State& s, bytes buffer) {
  absl::Status error;
  const std::size_t room = std::min(buffer.size(), call_max);
  const io_result r = s.io.transfer(
      poll_side::read, sched::wait_reason::descriptor_read,
      [&](int fd, io_result& so_far) {
        const io_step step = datagram_step(so_far, calls::receive_datagram(fd, buffer.data(), room, nullptr, nullptr));
        if (so_far.count > room) so_far.error = EMSGSIZE;
        return step;
      },
      [&](const io_result& bad) { error = s.io.status_of(bad, "receive", s.name()); });
  if (r.ok()) return r.count;
  return error;
}

}  // namespace baton::net
