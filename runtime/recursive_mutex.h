// Public API: baton::recursive_mutex, a mutex that its owner may lock again, like std::recursive_timed_mutex.
//
//   waiter in lock()         what is blocked
//   a fiber                  the fiber only; its thread and P run others
//   a plain thread           the thread
//
// The owner is a fiber, on whichever thread it runs and also inside blocking(f), or a plain thread. It is free when it
// has been unlocked as often as it was locked. It works with std::lock_guard, std::unique_lock and std::scoped_lock,
// between fibers and plain threads in any mixture. How waiters are served is said in mutex.h. An unlock by an agent
// that does not own it is noticed, and aborts; so does a lock for the 2^32nd time. A recursive_mutex may be destroyed
// as soon as the last unlock() has released it, also by an agent that could lock and unlock it meanwhile.
#pragma once

#include <baton/runtime/mutex.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>

#include <chrono>
#include <cstdint>

namespace baton {

class recursive_mutex {
 public:
  constexpr recursive_mutex() noexcept = default;
  recursive_mutex(const recursive_mutex&) = delete;
  recursive_mutex& operator=(const recursive_mutex&) = delete;

  // Waits until the mutex is free or the caller's own, and takes it. Switches.
  void lock() noexcept {
    const std::uint64_t me = self();
    if (again(me)) return;
    mutex_.lock();
    taken_by(me);
  }

  // Takes the mutex if it is free or the caller's own, and returns true then. Never waits.
  [[nodiscard]] bool try_lock() noexcept {
    const std::uint64_t me = self();
    return again(me) || (mutex_.try_lock() && taken_by(me));
  }

  // As lock(), but wait no longer than the given time. Return false if it passed first. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& timeout) {
    const std::uint64_t me = self();
    return again(me) || (mutex_.try_lock_for(timeout) && taken_by(me));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& when) {
    const std::uint64_t me = self();
    return again(me) || (mutex_.try_lock_until(when) && taken_by(me));
  }

  // Ends one lock; the last one frees the mutex. Never switches. Aborts if the caller does not own it.
  void unlock() noexcept {
    // relaxed: only the owner can find itself there.
    if (owner_.load(sched::platform::mo::relaxed) != self()) [[unlikely]]
      not_owned();
    if (--depth_ != 0) return;
    owner_.store(no_owner, sched::platform::mo::relaxed);
    mutex_.unlock();
  }

 private:
  static constexpr std::uint64_t no_owner = 0;

  // Returns what stands for the calling fiber, or else the calling thread.
  [[nodiscard]] static std::uint64_t self() noexcept;
  [[noreturn]] static void not_owned() noexcept;
  [[noreturn]] static void too_deep() noexcept;

  bool again(std::uint64_t me) noexcept {
    // relaxed: as in unlock().
    if (owner_.load(sched::platform::mo::relaxed) != me) return false;
    if (++depth_ == 0) [[unlikely]]
      too_deep();
    return true;
  }
  bool taken_by(std::uint64_t me) noexcept {
    owner_.store(me, sched::platform::mo::relaxed);
    depth_ = 1;
    return true;
  }

  mutex mutex_;
  sched::platform::atomic<std::uint64_t> owner_{no_owner};
  std::uint32_t depth_ = 0;  // the owner's
};

using recursive_timed_mutex = recursive_mutex;  // std's name for one with timed forms

}  // namespace baton
