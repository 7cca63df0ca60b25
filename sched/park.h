// Parking and readying: the interface on which every primitive that waits is built.
//
//   agent* self = current_agent();
//   prepare_park(self, wait_reason::event);     // from here on ready(self) may come
//   publish self where the waker finds it;  release the lock that guards it
//   park(self);                                 // switches; returns after the one matching ready()
//
// Each prepare_park() is matched by exactly one ready() and one park(). A primitive that publishes an agent to several
// wakers lets them claim it first (waiter.h), and only the claimant calls ready(). A second ready() aborts. If it turns
// out after prepare_park() that there is nothing to wait for, and no waker can have seen the agent, cancel_park() takes
// it back.
#pragma once

#include <baton/sched/agent.h>

#include <cstdint>

namespace baton::sched {

struct fiber;
class fiber_list;

// Returns the calling agent: the fiber that runs here, or a stand-in for the calling thread. It is valid for the caller
// until the next call that may switch.
[[nodiscard]] agent* current_agent() noexcept;

inline void prepare_park(agent* self, wait_reason why) noexcept {
  self->reason = why;
  self->word.prepare();
}
void cancel_park(agent* self) noexcept;

// Switches. Waits for the ready() that matches the prepare_park(). A fiber gives up its thread; a plain thread sleeps
// on a futex.
void park(agent* self) noexcept;

// As park(), for a plain thread with a deadline (CLOCK_MONOTONIC ns). Returns false if the deadline passed first. The
// agent is then still prepared: the caller must either take it back from all wakers and call cancel_park(), or call
// park() for the ready() that is on its way.
[[nodiscard]] bool park_thread_until(agent* self, std::int64_t deadline_ns) noexcept;

// Makes a parked (or parking) agent runnable. Never switches, never blocks. Callable from anywhere except signal
// handlers. What the caller wrote before is visible to the agent.
void ready(agent* who) noexcept;

// As ready(), but appends a fiber to `list` instead of queuing it: for pollers and timers, which hand whole batches to
// the scheduler. Plain threads are woken at once.
void ready_into(agent* who, fiber_list& list) noexcept;

// Switches. Lets other fibers run. Returns at once if no fiber waits for this P.
void yield() noexcept;

// Switches. Yields only if the fiber's time slice is used up. For calls that may switch but found no reason to: a fiber
// whose receives or reads always succeed must not starve the others. One load.
void yield_if_due() noexcept;

}  // namespace baton::sched
