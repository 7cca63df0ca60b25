// Public API: sockets that a process gets from the one that started it: socket activation by systemd, and by each
// supervisor that keeps its protocol (sd_listen_fds(3)).
//
//   LISTEN_PID      the process that the descriptors are for; in another process there are none
//   LISTEN_FDS      how many there are: 3, 4 …
//   LISTEN_FDNAMES  their names, with colons between them; without it each is named "unknown"
//
// Each descriptor is handed out once. The first call sets FD_CLOEXEC on all of them, so that children do not get them.
// The environment stays as it is. Thread-safe, as long as no thread changes the environment.
//
// Errors: INVALID_ARGUMENT for variables that contradict the protocol; EBADF if a descriptor is not open. Nothing is
// handed out then.
#pragma once

#include <baton/netpoll/tcp_listener.h>
#include <baton/syscall/owned_fd.h>

#include <absl/status/statusor.h>
#include <string>
#include <string_view>
#include <vector>

namespace baton::net {

// Returns the TCP sockets that listen, in the order of their numbers, or those of that name. Others are left to later
// calls. Without LISTEN_FDS, or if all have been handed out, there are none. After an error (ENOMEM …) none of this
// call is lost: a later call returns them. May switch in that case only.
[[nodiscard]] absl::StatusOr<std::vector<tcp_listener>> inherited_listeners();
[[nodiscard]] absl::StatusOr<std::vector<tcp_listener>> inherited_listeners(std::string_view name);

struct inherited_descriptor {
  std::string name;
  sys::owned_fd fd;
};

// Returns all that have not been handed out, of whatever kind.
[[nodiscard]] absl::StatusOr<std::vector<inherited_descriptor>> inherited_descriptors();

}  // namespace baton::net
