// Public API: baton::this_fiber, what a fiber can do about itself. On a plain thread (one that runs no fiber) these
// functions act on the thread, or do nothing, as stated.
#pragma once

#include <baton/runtime/fiber_id.h>
#include <baton/sched/durations.h>
#include <baton/sched/park.h>
#include <baton/sched/spawn.h>
#include <baton/sched/timer.h>

#include <chrono>
#include <string_view>

namespace baton::this_fiber {

// Lets others run first. On a plain thread: std::this_thread::yield(). Switches.
inline void yield() noexcept { sched::yield(); }

// Sleep for at least that time, or yield if it is past. The fiber waits, not its thread. Switch.
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> time) {
  sched::sleep_until_ns(detail::deadline_after(time));
}
template <class Clock, class Duration>
void sleep_until(std::chrono::time_point<Clock, Duration> until) {
  do {
    sched::sleep_until_ns(detail::deadline_at(until));
  } while (!detail::has_come(until));
}

// Returns the id of the fiber that runs here, or no id on a plain thread.
[[nodiscard]] inline fiber_id id() noexcept { return fiber_id(sched::current_fiber_id()); }

// Names the fiber in dumps, traces and messages. Copies the first 23 bytes of the text. Does nothing on a plain thread.
inline void set_name(std::string_view name) noexcept { sched::set_current_fiber_name(name); }

// Returns true if a fiber runs here, also between enter_syscall() and exit_syscall().
[[nodiscard]] inline bool on_fiber() noexcept { return sched::current_fiber() != nullptr; }

}  // namespace baton::this_fiber
