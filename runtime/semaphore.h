// Public API: baton::semaphore, a number of permits, of which an agent can take several at once.
//
//   waiter in acquire()      what is blocked
//   a fiber                  the fiber only
//   a plain thread           the thread
//
// Permits are given strictly in order: while agents wait, permits go to the first of them, even if a later one needs
// fewer. What was written before release() is visible after the acquire() that got its permits. A semaphore may be
// destroyed as soon as the last acquire() has returned.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace baton {

class semaphore {
 public:
  // Aborts if `permits` is negative or above max().
  constexpr explicit semaphore(std::ptrdiff_t permits) noexcept : word_(in_range(permits) * one) {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept {
    return std::numeric_limits<std::ptrdiff_t>::max() >> 2;
  }

  // Waits until there are n permits, and takes them. Returns at once if n is zero. Aborts if n is negative or above
  // max(). Switches.
  void acquire(std::ptrdiff_t n = 1) noexcept { (void)acquire_deadline(n, sched::platform::forever_ns); }

  // Takes n permits if there are so many and no agent waits, and returns true then. Never switches.
  [[nodiscard]] bool try_acquire(std::ptrdiff_t n = 1) noexcept;

  // As acquire(), but wait no longer than the given time. Return false if it passed; nothing was taken then. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(const std::chrono::duration<Rep, Period>& timeout, std::ptrdiff_t n = 1) {
    return acquire_deadline(n, detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(const std::chrono::time_point<Clock, Duration>& when, std::ptrdiff_t n = 1) {
    return detail::until(when, [&](std::int64_t ns) { return acquire_deadline(n, ns); });
  }

  // Gives n permits, and wakes the waiters that can go on with them. Never switches. Aborts if n is negative or there
  // would be more than max() permits.
  void release(std::ptrdiff_t n = 1) noexcept;

 private:
  struct request;
  static constexpr std::int64_t waiting_bit = 1;  // waiters_ is not empty
  static constexpr std::int64_t one = 2;          // the permits are the rest

  [[nodiscard]] static constexpr std::ptrdiff_t in_range(std::ptrdiff_t n) noexcept {
    if (n < 0 || n > max()) out_of_range(n);
    return n;
  }
  static void out_of_range(std::ptrdiff_t n) noexcept;  // aborts

  bool acquire_deadline(std::ptrdiff_t n, std::int64_t deadline_ns) noexcept;
  bool enqueue(request& r) noexcept;
  std::int64_t grant(std::int64_t n, sched::waiter_list& granted) noexcept;

  sched::platform::atomic<std::int64_t> word_;
  sched::platform::spin_lock list_lock_;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

}  // namespace baton
