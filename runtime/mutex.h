// Public API: baton::mutex, a lock that makes fibers wait, not threads.
//
//   waiter in lock()         what is blocked
//   a fiber                  the fiber only; its thread and P run others
//   a plain thread           the thread
//
// A mutex works with std::lock_guard, std::unique_lock and std::scoped_lock, between fibers and plain threads in any
// mixture. A free mutex may be taken past its waiters, which keeps it fast under contention. A waiter that has waited
// for 1 ms gets the mutex handed over; waiters are served in order of arrival.
//
// A mutex is not recursive: a fiber that locks it twice waits for itself. A fiber may unlock a mutex that another fiber
// locked (a locked mutex can be handed over). Only the unlock of a mutex that is not locked is noticed, and aborts.
// Code that is compiled without NDEBUG records the owner, so that dump_fibers() and the report of a deadlock name it
// ("waits for mutex that fiber 17 "cache" holds"). Define BATON_MUTEX_OWNER as 0 or 1 to override that. Parts of a
// program may be compiled either way: the object is the same, and an owner that was not recorded is not named. A mutex
// may be destroyed as soon as the last unlock() has released it, also by an agent that could lock and unlock it
// meanwhile.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/lock_head.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/slice_notice.h>
#include <baton/sched/waiter.h>

#include <cstdint>

// 1 if the owner of a mutex is recorded. As with assert(), functions of this header differ by it. Every mixture of them
// is correct (lock_head.h).
#ifndef BATON_MUTEX_OWNER
#ifdef NDEBUG
#define BATON_MUTEX_OWNER 0
#else
#define BATON_MUTEX_OWNER 1
#endif
#endif

namespace baton {

class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  // Waits until the mutex is free, and takes it. Lets others run first if the fiber's slice is over. Switches.
  void lock() noexcept {
    // 0; or, if the slice of any fiber is over, a number that the word never has, so that lock_slow() handles it.
    // relaxed: a hint.
    std::uint32_t expected = sched::slices_over.unhandled.load(sched::platform::mo::relaxed);
    // acquire: pairs with the release in unlock().
    if (!head_.word.compare_exchange_strong(expected, one_hold, sched::platform::mo::acquire,
                                            sched::platform::mo::relaxed)) [[unlikely]] {
      lock_slow(sched::platform::forever_ns);
    }
    note_owner();
  }

  // Takes the mutex if it is free, and returns true then. Never waits, and never fails without reason.
  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t seen = 0;
    // acquire: pairs with the release in unlock().
    while (!head_.word.compare_exchange_weak(seen, taken(seen), sched::platform::mo::acquire,
                                             sched::platform::mo::relaxed)) {
      if ((seen & holds) != 0) return false;
    }
    note_owner();
    return true;
  }

  // As lock(), but wait no longer than the given time. Return false if it passed first. A mutex that is free is taken
  // even if the time is zero or past. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& timeout) {
    return try_at_first() || lock_late(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& when) {
    return try_at_first() || detail::until(when, [this](std::int64_t ns) { return lock_late(ns); });
  }

  // Frees the mutex. Never switches. Aborts if it is not locked.
  void unlock() noexcept {
    // release: pairs with the acquire of the next lock().
    if (head_.word.fetch_sub(one_hold, sched::platform::mo::release) != one_hold) [[unlikely]]
      unlock_slow();
  }

 private:
  // See mutex.cc.
  static constexpr std::uint32_t one_hold = 1;
  static constexpr std::uint32_t holds = 3;        // the number of holds; not 0: the mutex is owned
  static constexpr std::uint32_t waiting_bit = 4;  // waiters_ is not empty
  static constexpr std::uint32_t woken_bit = 8;    // one waiter was woken, and competes
  static constexpr std::uint32_t owned_bit = sched::lock_head::owned;
  static constexpr std::uint32_t marks = waiting_bit | woken_bit | owned_bit;
  static_assert(sched::slice_notice::one > woken_bit && owned_bit % sched::slice_notice::one == 0);

  // Returns the word that a free mutex, or one that its owner is about to free, has once it is owned.
  static constexpr std::uint32_t taken(std::uint32_t free) noexcept {
    return (free & ~holds) + ((free & marks) != 0 ? 2 * one_hold : one_hold);
  }

  void note_owner() noexcept {
#if BATON_MUTEX_OWNER
    write_owner();
#endif
  }
  bool try_at_first() noexcept {
    sched::handle_slice_notice();
    return try_lock();
  }
  bool lock_late(std::int64_t deadline_ns) noexcept {
    if (!lock_slow(deadline_ns)) return false;
    note_owner();
    return true;
  }
  bool lock_slow(std::int64_t deadline_ns) noexcept;
  void unlock_slow() noexcept;
  bool wake_first() noexcept;
  void write_owner() noexcept;
  bool enqueue(sched::waiter& w, bool was_woken) noexcept;
  void leave(sched::waiter& w) noexcept;

  sched::lock_head head_;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(head_.list_lock);
};

}  // namespace baton
