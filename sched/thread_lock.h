// Fibers that are locked to their thread. The user's side is syscall/pinning.h.
#pragma once

#include <baton/sched/machine.h>

namespace baton::sched {

// Nest, in the fiber; off fibers they do nothing.
void lock_thread() noexcept;    // (S): waits while only one thread is left that is not locked
void unlock_thread() noexcept;  // aborts without a lock_thread before
// The end of a fiber that is locked, and with it of its thread, which is not counted any more.
void locked_thread_ends() noexcept;
// Whether a fiber waits in lock_thread(), so that a thread more is of use.
[[nodiscard]] bool thread_to_lock_is_wanted() noexcept;

// park() of a fiber in place, after prepare_park(); the word did not say woken.
void park_in_place(machine* m, fiber* f) noexcept;
// In a section of f's M, f being in place: lets others run first, if there are any. Ends in a section.
void yield_in_place(machine* m, fiber* f) noexcept;
// The end of a pinned call, or of a locked fiber's: in a section of m, without a P. Ends in one with a P.
void return_in_place(machine* m, fiber* f) noexcept;

}  // namespace baton::sched
