// Public API: baton::latch, a counter that goes down once, and opens at zero, like std::latch.
//
//   waiter in wait()         what is blocked
//   a fiber                  the fiber only
//   a plain thread           the thread
//
// What was written before count_down() is visible after the wait() that it ended. A latch may be destroyed as soon as
// wait() has returned, or try_wait() has returned true.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace baton {

class context;

class latch {
 public:
  // Aborts if `expected` is negative or above max().
  constexpr explicit latch(std::ptrdiff_t expected) noexcept : word_(in_range(expected) * one) {}
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;

  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept {
    return std::numeric_limits<std::ptrdiff_t>::max() >> 1;
  }

  // Subtracts n from the counter, and wakes all waiters if it is zero then. Never switches. Aborts if n is negative or
  // greater than the counter.
  void count_down(std::ptrdiff_t n = 1) noexcept;

  // Returns true if the counter is zero. Never switches.
  [[nodiscard]] bool try_wait() const noexcept {
    // acquire: pairs with the release in count_down().
    return word_.load(sched::platform::mo::acquire) == 0;
  }

  // Waits until the counter is zero. Switches.
  void wait() const noexcept { (void)wait_deadline(sched::platform::forever_ns); }

  // As wait(), but waits no longer than until the context is done. Returns OK if the counter was zero. Otherwise
  // returns the context's error, with a message that names this call. Returns the error, even if the counter is zero,
  // if the context is done at the start. If the context becomes done just when the latch opens, either may win.
  // Switches.
  [[nodiscard]] absl::Status wait(const context& ctx) const;

  // As wait(), but wait no longer than the given time. Return false if it passed first. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& timeout) const {
    return wait_deadline(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(const std::chrono::time_point<Clock, Duration>& when) const {
    return detail::until(when, [this](std::int64_t ns) { return wait_deadline(ns); });
  }

  // Does the same as count_down(n), then wait(). Switches.
  void arrive_and_wait(std::ptrdiff_t n = 1) noexcept {
    count_down(n);
    wait();
  }

 private:
  static constexpr std::int64_t waiting_bit = 1;  // waiters_ is not empty
  static constexpr std::int64_t one = 2;          // the counter is the rest

  [[nodiscard]] static constexpr std::ptrdiff_t in_range(std::ptrdiff_t n) noexcept {
    if (n < 0 || n > max()) out_of_range(n);
    return n;
  }
  static void out_of_range(std::ptrdiff_t n) noexcept;  // aborts

  bool wait_deadline(std::int64_t deadline_ns) const noexcept;
  template <class Wait>
  bool wait_by(const Wait& wait) const;
  bool enqueue(sched::waiter& w) const noexcept;
  void take_waiters(sched::waiter_list& claimed) noexcept;

  mutable sched::platform::atomic<std::int64_t> word_;
  mutable sched::platform::spin_lock list_lock_;
  mutable sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

}  // namespace baton
