// Fibers that are locked to their thread. The user's side is syscall/pinning.h.
#pragma once

#include <baton/sched/machine.h>

namespace baton::sched {

// Nest, in the fiber; off fibers, and inside a declared call as well, they only count or do nothing.
// Neither switches.
void lock_thread() noexcept;
void unlock_thread() noexcept;  // aborts without a lock_thread before

// park() of a fiber in place, after prepare_park(); the word did not say woken.
void park_in_place(machine* m, fiber* f) noexcept;
// In a section of f's M, f being in place: lets others run first, if there are any. Ends in a section.
void yield_in_place(machine* m, fiber* f) noexcept;
// The end of a pinned call, or of a locked fiber's: in a section of m, without a P. Ends in one with a P.
void return_in_place(machine* m, fiber* f) noexcept;

}  // namespace baton::sched
