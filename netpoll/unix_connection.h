// How connections of Unix sockets are made. Internal to netpoll.
#pragma once

#include <baton/netpoll/adopt_socket.h>
#include <baton/netpoll/dial.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/unix_state.h>
#include <baton/syscall/owned_fd.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace baton::net {

// Switches. Connects a new socket to the address. See unix_stream::dial().
absl::StatusOr<sys::owned_fd> connect_unix(const address& to, int type, const dial_options& options);

// Switches.
template <class State>
absl::StatusOr<std::unique_ptr<State>> dialled_state(const std::string& path, const dial_options& options) try {
  absl::StatusOr<address> to = address::from_path(path);
  if (!to.ok()) return to.status();
  absl::StatusOr<sys::owned_fd> fd = connect_unix(*to, State::type, options);
  if (!fd.ok()) return fd.status();
  auto made = std::make_unique<State>();
  made->remote = *std::move(to);
  if (const int error = made->io.attach(*fd, descriptor::edges::local)) return errno_status(error, "dial", path);
  return made;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "dial", State::kind);
}

template <class State>
absl::StatusOr<std::unique_ptr<State>> adopted_state(int fd) try {
  auto made = std::make_unique<State>();
  const socket_kind wanted{socket_kind::family::local, State::type, false};
  if (const int error = adopt_socket(fd, wanted, made->io, made->local, made->remote, State::edges)) {
    return errno_status(error, "adopt", State::kind);
  }
  return made;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "adopt", State::kind);
}

template <class State>
absl::StatusOr<std::pair<std::unique_ptr<State>, std::unique_ptr<State>>> paired_states() try {
  int numbers[2];
  if (const long r = calls::open_pair(State::type, numbers); r < 0) {
    return errno_status(static_cast<int>(-r), "make pair", State::kind);
  }
  sys::owned_fd ends[2] = {sys::owned_fd(numbers[0]), sys::owned_fd(numbers[1])};
  auto first = std::make_unique<State>();
  auto second = std::make_unique<State>();
  int error = first->io.attach(ends[0], State::edges);
  if (error == 0) error = second->io.attach(ends[1], State::edges);
  if (error != 0) return errno_status(error, "make pair", State::kind);
  return std::pair(std::move(first), std::move(second));
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "make pair", State::kind);
}

}  // namespace baton::net
