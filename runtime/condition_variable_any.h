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

#include <baton/netpoll/wake_on_cancel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/detail/condition_loop.h>
#include <baton/runtime/detail/stop_link.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <stop_token>

namespace baton {

class condition_variable_any {
 public:
  constexpr condition_variable_any() noexcept = default;
  ~condition_variable_any();
  condition_variable_any(const condition_variable_any&) = delete;
  condition_variable_any& operator=(const condition_variable_any&) = delete;

  // Unlocks, waits for a notify, and locks again. Requires: the caller holds the lock. Switches.
  template <class Lock>
  void wait(Lock& lock) {
    (void)wait_deadline(lock, sched::platform::forever_ns);
  }
  template <class Lock, class Predicate>
  void wait(Lock& lock, Predicate done) {
    while (!done()) wait(lock);
  }

  // As wait(), but wait no longer than the given time; it is locked again in any case. They return what those of
  // condition_variable return. Switch.
  template <class Lock, class Rep, class Period>
  std::cv_status wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& timeout) {
    return wait_deadline(lock, detail::deadline_after(timeout));
  }
  template <class Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& timeout, Predicate done) {
    const std::int64_t deadline_ns = detail::deadline_after(timeout);
    const auto wait_once = [&] { return wait_deadline(lock, deadline_ns) == std::cv_status::no_timeout; };
    return detail::wait_for_condition([] { return false; }, wait_once, done);
  }
  template <class Lock, class Clock, class Duration>
  std::cv_status wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& when) {
    const std::cv_status s = wait_deadline(lock, detail::deadline_at(when));
    return s == std::cv_status::timeout && detail::has_come(when) ? s : std::cv_status::no_timeout;
  }
  template <class Lock, class Clock, class Duration, class Predicate>
  bool wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& when, Predicate done) {
    const auto wait_once = [&] { return wait_until(lock, when) == std::cv_status::no_timeout; };
    return detail::wait_for_condition([] { return false; }, wait_once, done);
  }

  // As the forms with a predicate above, but a stop that is requested of the token, or a context that is done, ends the
  // wait, too. They are those of condition_variable. Switch.
  template <class Lock, class Predicate>
  bool wait(Lock& lock, std::stop_token stop, Predicate done) {
    return wait_unless_stopped(
        lock, stop, [] { return sched::platform::forever_ns; }, detail::time_is_up, done);
  }
  template <class Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, std::stop_token stop, const std::chrono::duration<Rep, Period>& timeout, Predicate done) {
    const std::int64_t ns = detail::deadline_after(timeout);
    return wait_unless_stopped(
        lock, stop, [ns] { return ns; }, detail::time_is_up, done);
  }
  template <class Lock, class Clock, class Duration, class Predicate>
  bool wait_until(Lock& lock, std::stop_token stop, const std::chrono::time_point<Clock, Duration>& when,
                  Predicate done) {
    const auto deadline = [&when] { return detail::deadline_at(when); };
    return wait_unless_stopped(
        lock, stop, deadline, [&when] { return detail::has_come(when); }, done);
  }
  template <class Lock, class Predicate>
  bool wait(Lock& lock, const context& ctx, Predicate done) {
    const context keep = ctx;  // the caller's handle may be assigned to during the wait
    const std::shared_ptr<net::cancellation> source = keep.as_cancellation();
    const auto wait_once = [&] {
      wait_ended_by<net::wake_on_cancel>(lock, sched::platform::forever_ns, source.get());
      return true;
    };
    return detail::wait_for_condition([&] { return keep.is_done(); }, wait_once, done);
  }

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
  // An agent's place in the list while it waits. See condition_variable_any.cc.
  struct place : sched::waiter {
    sched::platform::atomic<std::uintptr_t> stage{unlocking};
  };
  // Values of the stage; any other one is a waiter*.
  static constexpr std::uintptr_t unlocking = 0;
  static constexpr std::uintptr_t notified = 1;
  static constexpr std::uintptr_t gone = 2;

  struct no_link {
    no_link(int, sched::waiter&) noexcept {}
  };

  template <class Lock>
  std::cv_status wait_deadline(Lock& lock, std::int64_t deadline_ns) {
    const std::uint32_t how = wait_ended_by<no_link>(lock, deadline_ns, 0);
    return how == sched::waiter::timed_out ? std::cv_status::timeout : std::cv_status::no_timeout;
  }
  // deadline() is asked anew for each wait, and has_come() after a wait until it.
  template <class Lock, class Deadline, class HasCome, class Predicate>
  bool wait_unless_stopped(Lock& lock, const std::stop_token& stop, const Deadline& deadline, const HasCome& has_come,
                           Predicate& done) {
    const auto wait_once = [&] {
      const std::uint32_t how = wait_ended_by<detail::stop_link>(lock, deadline(), stop);
      return how != sched::waiter::timed_out || !has_come();
    };
    return detail::wait_for_condition([&] { return stop.stop_requested(); }, wait_once, done);
  }
  // One wait, which a Link to `source` may end, too. Returns the waiter's outcome.
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
