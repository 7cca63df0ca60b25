// Turns the result of setting a socket's option into a status. Internal to netpoll.
#pragma once

#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/error_text.h>

#include <absl/status/status.h>
#include <cerrno>

namespace baton::net {

// The error of a call on a state whose descriptor is closed.
template <class State>
absl::Status closed_status(const State& s, const char* operation) {
  io_result r;
  r.failure = poll_failure::closed;
  return s.io.status_of(r, operation, s.name());
}

// The answer of descriptor::with_fd() as a status.
template <class State>
absl::Status option_status(const State& s, long answer, const char* operation) {
  if (answer >= 0) return absl::OkStatus();
  if (answer == -EBADF) return closed_status(s, operation);
  return errno_status(static_cast<int>(-answer), operation, s.name());
}

}  // namespace baton::net
