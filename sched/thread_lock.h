// Fibers that are locked to their thread. The user's side is syscall/pinning.h.
#pragma once

#include <baton/sched/machine.h>

namespace baton::sched {

// These two nest, in the fiber. Outside fibers they do nothing.
void lock_thread() noexcept;    // switches: waits while only one thread is left that is not locked
void unlock_thread() noexcept;  // aborts if no lock_thread came before
// A locked fiber ends, and its thread with it. That thread no longer counts.
void locked_thread_ends() noexcept;
// Returns true if a fiber waits in lock_thread(), so that one more thread is of use.
[[nodiscard]] bool thread_to_lock_is_wanted() noexcept;

// park() of a fiber in place. Requires: after prepare_park(), and the word did not say woken.
void park_in_place(machine* m, fiber* f) noexcept;
// Lets other fibers run first, if there are any. Requires: in a section of m, f's M; f is in place. Ends in a section.
void yield_in_place(machine* m, fiber* f) noexcept;
// The end of a pinned call, or of a locked fiber's call. Requires: in a section of m, without a P. Ends in a section
// with a P.
void return_in_place(machine* m, fiber* f) noexcept;
// As yield_in_place() and return_in_place(), for the end of a foreign call (declared_call.h). If exit() stops the
// fibers, they return false, and the fiber goes on in user code, outside a section.
[[nodiscard]] bool yield_in_place_unless_stopped(machine* m, fiber* f) noexcept;
[[nodiscard]] bool return_in_place_unless_stopped(machine* m, fiber* f) noexcept;

}  // namespace baton::sched
