// SIGPIPE: writing to a connection that the peer has closed is an error for the writer, not the end of the process.
#pragma once

namespace baton::sched {

// Where SIGPIPE would end the process, it does nothing from now on. What the program has set stays. Programs that this
// process executes have the default action again.
void outlive_sigpipe() noexcept;
// Puts the default action back where there is still ours.
void restore_sigpipe() noexcept;
// Between the two.
[[nodiscard]] bool outlives_sigpipe() noexcept;

}  // namespace baton::sched
