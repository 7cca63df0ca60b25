// Public API: baton::condition_variable_any, a condition variable for any lock that has lock() and unlock(): a
// baton::semaphore in a wrapper, a std::unique_lock of any mutex, a class of the program's. A wait blocks the fiber (or
// the plain thread), never a fiber's thread; what the lock itself blocks is the lock's affair.
//
// All that condition_variable.h says holds here, but for the lock: unlock() and lock() may switch and throw. If
// unlock() throws, the exception leaves the wait, which has not begun. If lock() throws after a wait, the process ends,
// as it does with std::condition_variable_any. For baton::mutex and baton::shared_mutex condition_variable is cheaper.
//
// A condition_variable_any may be destroyed when all its waiters have been notified, even if some have not come back.
// The destructor switches, but only to let waiters leave whose wait was ended otherwise just when they were notified.
#pragma once

#include <baton/runtime/detail/condition_waits.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstdint>

namespace baton {

namespace detail {
template <class Lock>
struct is_any_lock : std::true_type {};
}  // namespace detail

// wait(), wait_for() and wait_until() are in detail/condition_waits.h, as those of condition_variable.
class condition_variable_any : public detail::condition_waits<condition_variable_any, detail::is_any_lock> {
 public:
  constexpr condition_variable_any() noexcept = default;
  ~condition_variable_any();
  condition_variable_any(const condition_variable_any&) = delete;
  condition_variable_any& operator=(const condition_variable_any&) = delete;

  // Wake the agent that has waited longest, or all. Cost a load if there is no waiter. Never switch.
  void notify_one() noexcept {
    // relaxed: as in condition_variable::notify_one().
    if (any_.load(sched::platform::mo::relaxed)) notify(false);
  }
  void notify_all() noexcept {
    // relaxed: as above.
    if (any_.load(sched::platform::mo::relaxed)) notify(true);
  }

 private:
  friend condition_waits;

  // An agent's place in the list while it waits. See condition_variable_any.cc.
  struct place : sched::waiter {
    sched::platform::atomic<std::uintptr_t> stage{unlocking};
  };
  // Values of the stage; any other one is a waiter*.
  static constexpr std::uintptr_t unlocking = 0;
  static constexpr std::uintptr_t notified = 1;
  static constexpr std::uintptr_t gone = 2;

  template <class Link, class Lock, class Source>
  std::uint32_t wait_ended_by(Lock& lock, std::int64_t deadline_ns, const Source& source) {
    place mine;
    add(mine);
    try {
      lock.unlock();
    } catch (...) {
      give_up(mine);
      throw;
    }
    std::uint32_t how = sched::waiter::signalled;
    sched::waiter w;
    if (begin(mine, w)) {
      {
        [[maybe_unused]] const Link link(source, w);
        how = w.wait(deadline_ns);
      }
      if (how != sched::waiter::signalled) leave(mine);
    }
    lock_again(lock);
    return how;
  }
  template <class Lock>
  static void lock_again(Lock& lock) noexcept {
    lock.lock();
  }

  void add(place& p) noexcept;
  [[nodiscard]] static bool begin(place& p, sched::waiter& w) noexcept;
  void leave(place& p) noexcept;
  void give_up(place& p) noexcept;
  void notify(bool all) noexcept;

  sched::platform::spin_lock list_lock_;
  sched::platform::atomic<bool> any_{false};           // places_ is not empty; written under list_lock_
  sched::platform::atomic<std::uint32_t> leaving_{0};  // ended otherwise, and taken off by a notifier
  sched::waiter_list places_ ABSL_GUARDED_BY(list_lock_);
};

}  // namespace baton
