// baton::mutex: a lock that makes fibers wait, not threads.
//
//   who waits in lock()      what is blocked
//   a fiber                  the fiber only; its thread and P run others
//   a plain thread           the thread
//
// Works with std::lock_guard, std::unique_lock and std::scoped_lock, between fibers and plain threads
// in any mixture. A free mutex may be taken past those who wait for it, which keeps it fast under
// contention; whoever has waited for 1 ms gets it handed over, in order of arrival.
//
// Not recursive: a fiber that locks twice waits for itself. The owner is not recorded: a fiber may
// unlock what another locked (hand a locked mutex over to it), and only the unlock of a mutex that
// nobody holds is noticed, and aborts. It may be destroyed as soon as the last unlock() has released
// it, also by whoever could lock and unlock it meanwhile.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstdint>

namespace baton {

class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  // (S) Waits until the mutex is free, and takes it.
  void lock() noexcept {
    std::uint32_t expected = 0;
    // acquire: pairs with the release in unlock().
    if (!word_.compare_exchange_strong(expected, locked_bit, sched::platform::mo::acquire,
                                       sched::platform::mo::relaxed)) [[unlikely]] {
      lock_slow(sched::platform::forever_ns);
    }
  }

  // Takes the mutex if it is free. Never waits, never fails without reason.
  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t seen = 0;
    // acquire: pairs with the release in unlock().
    while (!word_.compare_exchange_weak(seen, seen | locked_bit, sched::platform::mo::acquire,
                                        sched::platform::mo::relaxed)) {
      if ((seen & locked_bit) != 0) return false;
    }
    return true;
  }

  // (S) As lock(), but gives up after that time: false. A mutex that is free is taken even if the
  // time is zero or past.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& timeout) {
    return try_lock() || lock_slow(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& when) {
    return try_lock() || lock_slow(detail::deadline_at(when));
  }

  // Frees the mutex. Never switches. Aborts if it is not locked.
  void unlock() noexcept {
    std::uint32_t expected = locked_bit;
    // release: pairs with the acquire of the next lock().
    if (!word_.compare_exchange_strong(expected, 0, sched::platform::mo::release, sched::platform::mo::relaxed))
        [[unlikely]] {
      unlock_slow(expected);
    }
  }

 private:
  static constexpr std::uint32_t locked_bit = 1;   // somebody owns it
  static constexpr std::uint32_t waiting_bit = 2;  // waiters_ is not empty
  static constexpr std::uint32_t woken_bit = 4;    // one waiter was woken, and competes

  bool lock_slow(std::int64_t deadline_ns) noexcept;
  void unlock_slow(std::uint32_t seen) noexcept;
  bool enqueue(sched::waiter& w, bool was_woken) noexcept;
  void leave(sched::waiter& w) noexcept;

  sched::platform::atomic<std::uint32_t> word_{0};
  sched::platform::spin_lock list_lock_;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

}  // namespace baton
