// SIGPIPE: writing to a connection that the peer has closed is an error for the writer, not the end of the process.
#pragma once

namespace baton::sched {

// From now on SIGPIPE does nothing where it would end the process. An action that the program has set stays. Programs
// that this process executes have the default action again.
void outlive_sigpipe() noexcept;
// Restores the default action if the action is still the runtime's own.
void restore_sigpipe() noexcept;
// Returns true between the two.
[[nodiscard]] bool outlives_sigpipe() noexcept;

}  // namespace baton::sched
