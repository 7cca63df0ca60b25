// Tells whether processes are left in a process group. Internal.
#pragma once

#include <sys/types.h>

namespace baton::detail {

// Switches. Returns true if a process other than the leader, and no zombie, is in the group. What /proc does not show
// (it is not mounted, or hides the processes of other users) is not seen.
[[nodiscard]] bool group_has_others(::pid_t group) noexcept;

}  // namespace baton::detail
