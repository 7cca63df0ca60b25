// Public API: baton::wait_group, which waits until a number of things are done.
//
//   wait_group all;
//   for (...) { all.add(); go([&] { ...; all.done(); }); }
//   all.wait();                                  // switches
//
//   waiter in wait()         what is blocked
//   a fiber                  the fiber only
//   a plain thread           the thread
//
// Call add() before the work that it counts is started: an add() that raises the counter from zero while another fiber
// is in wait() may come too late for it. The group can be used again and again. It may be destroyed as soon as wait()
// has returned: done() touches nothing of it after that. What was written before done() is visible after the wait().
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstdint>

namespace baton {

class context;

class wait_group {
 public:
  constexpr wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  // Adds n to the counter; a negative n counts as so many done(). Never switches. Aborts if the counter would be
  // negative or above INT32_MAX.
  void add(int n = 1) noexcept;

  // Subtracts one from the counter, and wakes all waiters if it is zero then. Never switches.
  void done() noexcept { add(-1); }

  // Waits until the counter is zero. Switches.
  void wait() noexcept { (void)wait_deadline(sched::platform::forever_ns); }

  // As wait(), but waits no longer than until the context is done. Returns OK if the counter was zero. Otherwise
  // returns the context's error, with a message that names this call. Returns the error, even if the counter is zero,
  // if the context is done at the start. If the context becomes done just when the counter becomes zero, either may
  // win. Switches.
  [[nodiscard]] absl::Status wait(const context& ctx);

  // As wait(), but wait no longer than the given time. Return false if it passed first. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& timeout) {
    return wait_deadline(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(const std::chrono::time_point<Clock, Duration>& when) {
    return detail::until(when, [this](std::int64_t ns) { return wait_deadline(ns); });
  }

 private:
  static constexpr std::int64_t waiting_bit = 1;  // waiters_ is not empty; never with a counter of zero
  static constexpr std::int64_t one = 2;          // the counter is the rest

  bool wait_deadline(std::int64_t deadline_ns) noexcept;
  template <class Wait>
  bool wait_by(const Wait& wait);
  bool enqueue(sched::waiter& w) noexcept;
  void leave(sched::waiter& w) noexcept;
  void release_waiters(std::int64_t n) noexcept;

  sched::platform::atomic<std::int64_t> word_{0};
  sched::platform::spin_lock list_lock_;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

}  // namespace baton
