// baton::event: a flag that one can wait for. Manual reset: once set it lets everybody through, until
// somebody resets it.
//
//   who waits in wait()      what is blocked
//   a fiber                  the fiber only
//   a plain thread           the thread
//
// What was written before set() is visible after the wait() that it ended. A set() followed at once by
// reset() still wakes everybody who waited at the set(). May be destroyed as soon as the last wait()
// has returned, also while the set() that ended it has not.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstdint>

namespace baton {

class event {
 public:
  constexpr event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  // Sets the flag and wakes everybody who waits: first those without a deadline, then those with one, each
  // kind in the order of their coming. Never switches.
  void set() noexcept;

  // Clears the flag. Never switches, wakes nobody.
  void reset() noexcept;

  [[nodiscard]] bool is_set() const noexcept {
    // acquire: pairs with the release in set().
    return word_.load(sched::platform::mo::acquire) == is_set_value;
  }

  // (S) Waits until the flag is set; returns at once if it is.
  void wait() noexcept;

  // (S) The same, for no longer than that. False: it passed, and the flag was not set.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& timeout) {
    return wait_deadline(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(const std::chrono::time_point<Clock, Duration>& when) {
    return detail::until(when, [this](std::int64_t ns) { return wait_deadline(ns); });
  }

 private:
  struct node;

  // The word: 0 not set, nobody waits; 1 set; else the youngest node of those who wait without a deadline
  // (on its stack; null: none), and perhaps the timed bit. See event.cc.
  static constexpr std::uintptr_t is_set_value = 1;
  static constexpr std::uintptr_t timed_bit = 2;  // timed_ is not empty

  bool wait_deadline(std::int64_t deadline_ns) noexcept;
  bool push(node& n) noexcept;
  bool enqueue(sched::waiter& w) noexcept;
  bool set_with_timed() noexcept;
  static void wake(node* youngest) noexcept;

  sched::platform::atomic<std::uintptr_t> word_{0};
  sched::platform::spin_lock lock_;
  sched::waiter_list timed_ ABSL_GUARDED_BY(lock_);  // those who wait with a deadline
};

}  // namespace baton
