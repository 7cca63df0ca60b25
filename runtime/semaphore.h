// baton::semaphore: a number of permits, of which one can take several at once.
//
//   who waits in acquire()   what is blocked
//   a fiber                  the fiber only
//   a plain thread           the thread
//
// Strictly in order: while somebody waits, permits go to the one that came first, also if a later one
// could be content with fewer. What was written before release() is visible after the acquire() that
// got its permits. May be destroyed as soon as the last acquire() has returned.
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
  // Aborts if the number is negative or above max().
  constexpr explicit semaphore(std::ptrdiff_t permits) noexcept : word_(in_range(permits) * one) {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept {
    return std::numeric_limits<std::ptrdiff_t>::max() >> 2;
  }

  // (S) Waits until there are n permits, and takes them. Zero returns at once; a number that is
  // negative or above max() aborts.
  void acquire(std::ptrdiff_t n = 1) noexcept { (void)acquire_deadline(n, sched::platform::forever_ns); }

  // Takes n permits if there are so many and nobody waits. Never switches.
  [[nodiscard]] bool try_acquire(std::ptrdiff_t n = 1) noexcept;

  // (S) As acquire(), for no longer than that. False: it passed, and nothing was taken.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(const std::chrono::duration<Rep, Period>& timeout, std::ptrdiff_t n = 1) {
    return acquire_deadline(n, detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(const std::chrono::time_point<Clock, Duration>& when, std::ptrdiff_t n = 1) {
    return detail::until(when, [&](std::int64_t ns) { return acquire_deadline(n, ns); });
  }

  // Gives n permits, wakes those who can go on with them. Never switches. Aborts if n is negative or
  // the permits would be more than max().
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
