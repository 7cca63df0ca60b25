// Public API: baton::event, a flag that agents can wait for. Manual reset: once it is set every wait passes, until
// reset() clears it.
//
//   waiter in wait()         what is blocked
//   a fiber                  the fiber only
//   a plain thread           the thread
//
// What was written before set() is visible after the wait() that it ended. A set() that is followed at once by a
// reset() still wakes every agent that waited at the set(). An event may be destroyed as soon as the last wait() has
// returned, even if the set() that ended it has not.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstdint>

namespace baton {

class context;

class event {
 public:
  constexpr event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  // Sets the flag and wakes all waiters: first those that nothing else can end, then those with a deadline or a
  // context, each kind in the order in which they came. Never switches.
  void set() noexcept;

  // Clears the flag. Wakes no waiter. Never switches.
  void reset() noexcept;

  [[nodiscard]] bool is_set() const noexcept {
    // acquire: pairs with the release in set().
    return word_.load(sched::platform::mo::acquire) == is_set_value;
  }

  // Waits until the flag is set. Returns at once if it is set. Switches.
  void wait() noexcept;

  // As wait(), but waits no longer than until the context is done. Returns OK if the flag was set. Otherwise returns
  // the context's error, with a message that names this call. Returns the error, even if the flag is set, if the
  // context is done at the start. If the context becomes done just when the flag is set, either may win. Switches.
  [[nodiscard]] absl::Status wait(const context& ctx);

  // As wait(), but wait no longer than the given time. Return false if it passed and the flag was not set. Switch.
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

  // The word is 0 if the flag is not set and there is no waiter, and 1 if it is set. Otherwise it is the youngest node
  // of the waiters of wait() (on the waiter's stack; null if there is none), perhaps with the leaving bit. See
  // event.cc.
  static constexpr std::uintptr_t is_set_value = 1;
  static constexpr std::uintptr_t leaving_bit = 2;  // may_leave_ is not empty

  bool wait_deadline(std::int64_t deadline_ns) noexcept;
  template <class Wait>
  bool wait_by(const Wait& wait);
  bool push(node& n) noexcept;
  bool enqueue(sched::waiter& w) noexcept;
  bool set_with_leaving() noexcept;
  static void wake(node* youngest) noexcept;

  sched::platform::atomic<std::uintptr_t> word_{0};
  sched::platform::spin_lock lock_;
  sched::waiter_list may_leave_ ABSL_GUARDED_BY(lock_);  // the waiters with a deadline or a context
};

}  // namespace baton
