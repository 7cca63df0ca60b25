// Public API: baton::condition_variable, like std's, for baton::mutex and baton::shared_mutex. A wait blocks the fiber
// (or the plain thread), never a fiber's thread.
//
// A waiter checks its condition under the mutex, and waits. The agent that changes the condition does so under the same
// mutex, and notifies while it holds the mutex or after that. With a shared_mutex a waiter may hold it for reading or
// for writing; the agent that changes the condition must hold it for writing. Waiters are woken in the order in which
// they came, however they hold the mutex. There is no wake without a notify (but see wait_until()). Another fiber may
// have changed the condition again before the woken one has the mutex, so wait in a loop, or with a predicate.
//
// A condition_variable may be destroyed when all its waiters have been notified, even if some have not come back. The
// destructor switches, but only to let waiters leave whose time was up just when they were notified.
#pragma once

#include <baton/runtime/mutex.h>
#include <baton/runtime/shared_mutex.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <type_traits>

namespace baton {

namespace detail {
template <class Lock>
concept condition_lock = std::is_same_v<Lock, std::unique_lock<mutex>> ||
    std::is_same_v<Lock, std::unique_lock<shared_mutex>> || std::is_same_v<Lock, std::shared_lock<shared_mutex>>;
}

class condition_variable {
 public:
  constexpr condition_variable() noexcept = default;
  ~condition_variable() {
    // A waiter whose time was up may have emptied the list, so that no notify was needed, and may still be at the
    // lock. Its unlock is its last access.
    { const sched::platform::lock_guard guard(list_lock_); }
    // acquire: pairs with the release of the waiters that leave; it is their last access.
    if (leaving_.load(sched::platform::mo::acquire) != 0) [[unlikely]]
      await_leaving();
  }
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  // In all of these Lock is std::unique_lock<mutex>, std::unique_lock<shared_mutex> or std::shared_lock<shared_mutex>.

  // Unlocks, waits for a notify, and locks again. Aborts if `lock` does not hold its mutex. Switches.
  template <detail::condition_lock Lock>
  void wait(Lock& lock) {
    (void)wait_deadline(lock, sched::platform::forever_ns);
  }
  template <detail::condition_lock Lock, class Predicate>
  void wait(Lock& lock, Predicate done) {
    while (!done()) wait(lock);
  }

  // As wait(), but wait no longer than the given time; the mutex is locked again in any case. The forms with a
  // predicate return its last result. The forms without one return timeout if the time passed. They return no_timeout,
  // as after a notify, if the time until `when` has passed on steady_clock but the given clock has not reached `when`,
  // because it is slower or was set back. Switch.
  template <detail::condition_lock Lock, class Rep, class Period>
  std::cv_status wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& timeout) {
    return wait_deadline(lock, detail::deadline_after(timeout));
  }
  template <detail::condition_lock Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& timeout, Predicate done) {
    const std::int64_t deadline_ns = detail::deadline_after(timeout);
    while (!done()) {
      if (wait_deadline(lock, deadline_ns) == std::cv_status::timeout) return done();
    }
    return true;
  }
  template <detail::condition_lock Lock, class Clock, class Duration>
  std::cv_status wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& when) {
    const std::cv_status s = wait_deadline(lock, detail::deadline_at(when));
    return s == std::cv_status::timeout && detail::has_come(when) ? s : std::cv_status::no_timeout;
  }
  template <detail::condition_lock Lock, class Clock, class Duration, class Predicate>
  bool wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& when, Predicate done) {
    while (!done()) {
      if (wait_until(lock, when) == std::cv_status::timeout) return done();
    }
    return true;
  }

  // Wake the agent that has waited longest, or all. Cost a load if there is no waiter. Never switch.
  void notify_one() noexcept {
    // relaxed: a waiter publishes itself before it unlocks the mutex, and the notifier has held the mutex since then
    // (to change the condition). If the notifier has not, it came before the waiter checked the condition.
    const std::uintptr_t seen = word_.load(sched::platform::mo::relaxed);
    if (seen != nobody) notify_slow(seen, false);
  }
  void notify_all() noexcept {
    // relaxed: as above.
    const std::uintptr_t seen = word_.load(sched::platform::mo::relaxed);
    if (seen != nobody) notify_slow(seen, true);
  }

 private:
  template <class Lock>
  std::cv_status wait_deadline(Lock& lock, std::int64_t deadline_ns) {
    if (!lock.owns_lock()) [[unlikely]]
      not_held();
    sched::waiter w;
    add(w, deadline_ns != sched::platform::forever_ns);
    lock.unlock();
    const bool timed_out = w.wait(deadline_ns) == sched::waiter::timed_out;
    if (timed_out) leave(w);
    lock.lock();
    return timed_out ? std::cv_status::timeout : std::cv_status::no_timeout;
  }
  [[noreturn]] static void not_held() noexcept;
  void add(sched::waiter& w, bool timed) noexcept;
  void notify_slow(std::uintptr_t seen, bool all) noexcept;
  bool notify_listed(bool all) noexcept;
  void enqueue(sched::waiter& w) noexcept;
  void leave(sched::waiter& w) noexcept;
  void await_leaving() const noexcept;

  // Values of the word; any other one is a waiter*. See condition_variable.cc.
  static constexpr std::uintptr_t nobody = 0;
  static constexpr std::uintptr_t listed = 1;

  sched::platform::atomic<std::uintptr_t> word_{nobody};
  sched::platform::spin_lock list_lock_;
  sched::platform::atomic<std::uint32_t> leaving_{0};  // timed out, and taken off by a notifier
  sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

}  // namespace baton
