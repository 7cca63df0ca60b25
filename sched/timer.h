// Timers for the runtime's own use: a callback at a point in time. Each P has a 4-ary heap (timer_heap.h). The thread
// that looks at the heap runs the timers that are due.
#pragma once

#include <cstdint>

namespace baton::sched {

class fiber_list;
struct timer_node;

// Runs in a runtime section of some M. It may call ready_into(agent, list) and short lock-protected code, but nothing
// that blocks, allocates, or is the user's. `seq` is the value given to arm_timer.
using timer_function = void (*)(void* arg, std::uint64_t seq, fiber_list& readied) noexcept;

// Names one armed timer; a plain value. Stale handles are recognised.
struct timer_handle {
  timer_node* node = nullptr;
  std::uint64_t generation = 0;
  explicit operator bool() const noexcept { return node != nullptr; }
};

// Arms a timer for CLOCK_MONOTONIC when_ns. Never switches; callable from any thread. Throws std::bad_alloc if there is
// no memory (before anything is armed). then_parks: the caller parks next, so its P looks at the timers soon.
[[nodiscard]] timer_handle arm_timer(std::int64_t when_ns, timer_function fn, void* arg, std::uint64_t seq = 0,
                                     bool then_parks = false);

// Disarms the timer. Returns true if the callback has not run and never will. Returns false if it has run (or the
// handle is stale or empty). If the callback is running on another thread right now, this waits for its end. So after
// either answer nothing of the timer touches `arg` any more.
bool cancel_timer(timer_handle timer) noexcept;

// Switches. The calling agent sleeps until the deadline.
void sleep_until_ns(std::int64_t deadline_ns);

}  // namespace baton::sched
