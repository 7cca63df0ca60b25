// Tells whether processes are left in a process group. Internal.
#pragma once

#include <sys/types.h>

namespace baton::detail {

// Switches. Returns true if the group has a process that is neither the leader nor a zombie. Finds only what /proc
// shows: it may not be mounted, or may hide the processes of other users.
[[nodiscard]] bool group_has_others(::pid_t group) noexcept;

}  // namespace baton::detail
