// Parking and readying: the interface on which every primitive that waits is built.
//
//   strand* self = current_strand();
//   prepare_park(self, wait_reason::event);     // from here on ready(self) may come
//   publish self where the waker finds it;  release the lock that guards it
//   park(self);                                 // (S) returns after the one matching ready()
//
// Each prepare_park() is matched by exactly one ready() and one park(): who publishes a strand to
// several wakers lets them claim it first (waiter.h), and only the claimant calls ready(). A second
// ready() aborts. If it turns out that there is nothing to wait for after prepare_park(), and nobody
// can have seen the strand, cancel_park() takes it back.
#pragma once

#include <baton/sched/strand.h>

#include <cstdint>

namespace baton::sched {

struct fiber;
class fiber_list;

// The calling strand: the fiber that runs here, or a stand-in for the calling thread. Valid for the
// caller until the next call that may switch.
[[nodiscard]] strand* current_strand() noexcept;

inline void prepare_park(strand* self, wait_reason why) noexcept {
  self->reason = why;
  self->word.prepare();
}
void cancel_park(strand* self) noexcept;

// (S) Waits for the ready() that matches the prepare_park(). A fiber gives up its thread; a plain
// thread sleeps on a futex.
void park(strand* self) noexcept;

// As park(), for a plain thread with a deadline (CLOCK_MONOTONIC ns): false when it passed first; the
// strand is then still prepared, and the caller must either take it back from all wakers and
// cancel_park(), or park() for the ready() that is on its way.
[[nodiscard]] bool park_thread_until(strand* self, std::int64_t deadline_ns) noexcept;

// Makes a parked (or parking) strand runnable. Never switches, never blocks; callable from anywhere
// but signal handlers. What the caller wrote before is visible to the strand.
void ready(strand* who) noexcept;

// As ready(), but a fiber is appended to `list` instead of being queued: for pollers and timers, which
// hand whole batches to the scheduler. Plain threads are woken at once.
void ready_into(strand* who, fiber_list& list) noexcept;

// (S) Lets others run; returns at once when nobody waits for this P.
void yield() noexcept;

// (S) Yields only if the fiber's time slice is used up: for calls that may switch but found no reason
// to, so that a fiber whose receives or reads always succeed does not starve the others. One load.
void yield_if_due() noexcept;

}  // namespace baton::sched
