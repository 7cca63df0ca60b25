// Messages of Unix sockets with descriptors. Internal to netpoll.
#pragma once

#include <baton/netpoll/unix_socket.h>
#include <baton/netpoll/unix_state.h>
#include <baton/syscall/bytes.h>
#include <baton/syscall/owned_fd.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <span>
#include <string>

namespace baton::net {

// A Unix socket of any type, as these functions see it.
struct unix_end {
  unix_state& state;
  int type;
  std::string (*name)(const unix_state&);
};

template <class State>
unix_end end_of(State& s) noexcept {
  return {s, State::type, [](const unix_state& u) { return static_cast<const State&>(u).name(); }};
}

// Switch. What unix_socket's members do.
absl::Status send_with_fds(const unix_end& e, std::span<const int> fds, const_bytes data);
absl::StatusOr<unix_message> receive_with_fds(const unix_end& e, bytes buffer, std::span<sys::owned_fd> fds,
                                              const char* operation);
absl::StatusOr<sys::owned_fd> receive_one_fd(const unix_end& e);
absl::StatusOr<peer_credentials> credentials_of(const unix_end& e);

}  // namespace baton::net
