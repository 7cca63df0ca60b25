// The waits of condition_variable and condition_variable_any, in all their forms: public functions of both. The heads
// of those two headers say what a wait does, and which locks it takes.
#pragma once

#include <baton/netpoll/wake_on_cancel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/detail/stop_link.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/waiter.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <stop_token>

namespace baton::detail {

// The link of a wait that only a notify or a deadline ends.
struct no_link {
  no_link(int, sched::waiter&) noexcept {}
};

template <class Lock, template <class> class Takes>
concept lock_for = Takes<Lock>::value;

// Derived from it: Condition, which has
//
//   std::uint32_t wait_ended_by<Link>(Lock&, std::int64_t deadline_ns, const Source&)
//
// one wait, which a Link to the source may end, too. It returns the waiter's outcome. Takes<Lock>::value is true if it
// takes such a lock.
template <class Condition, template <class> class Takes>
class condition_waits {
 public:
  condition_waits(const condition_waits&) = delete;
  condition_waits& operator=(const condition_waits&) = delete;

  // Unlocks, waits for a notify, and locks again. Requires: the caller holds the lock. Switches.
  template <lock_for<Takes> Lock>
  void wait(Lock& lock) {
    (void)wait_deadline(lock, sched::platform::forever_ns);
  }
  template <lock_for<Takes> Lock, class Predicate>
  void wait(Lock& lock, Predicate done) {
    while (!done()) wait(lock);
  }

  // As wait(), but wait no longer than the given time; it is locked again in any case. The forms with a predicate
  // return its last result. The forms without one return timeout if the time passed. They return no_timeout, as after a
  // notify, if the time until `when` has passed on steady_clock but the given clock has not reached `when`, because it
  // is slower or was set back. Switch.
  template <lock_for<Takes> Lock, class Rep, class Period>
  std::cv_status wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& timeout) {
    return wait_deadline(lock, deadline_after(timeout));
  }
  template <lock_for<Takes> Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& timeout, Predicate done) {
    const std::int64_t deadline_ns = deadline_after(timeout);
    const auto wait_once = [&] { return wait_deadline(lock, deadline_ns) == std::cv_status::no_timeout; };
    return wait_unless(never, wait_once, done);
  }
  template <lock_for<Takes> Lock, class Clock, class Duration>
  std::cv_status wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& when) {
    const std::cv_status s = wait_deadline(lock, deadline_at(when));
    return s == std::cv_status::timeout && has_come(when) ? s : std::cv_status::no_timeout;
  }
  template <lock_for<Takes> Lock, class Clock, class Duration, class Predicate>
  bool wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& when, Predicate done) {
    const auto wait_once = [&] { return wait_until(lock, when) == std::cv_status::no_timeout; };
    return wait_unless(never, wait_once, done);
  }

  // As the forms with a predicate above, but a stop that is requested of the token, or a context that is done, ends the
  // wait, too. So does one that came before the call: then they do not wait. They return the last result of the
  // predicate, which is false if the stop, the context or the time ended the wait. A notify that comes at the same time
  // as one of these is not lost: it wakes another waiter, or the predicate sees what it was for. The request of the
  // stop waits for no waiter. A std::stop_callback of the program's on the same token must not switch. Switch.
  template <lock_for<Takes> Lock, class Predicate>
  bool wait(Lock& lock, std::stop_token stop, Predicate done) {
    return wait_unless_stopped(
        lock, stop, [] { return sched::platform::forever_ns; }, [] { return true; }, done);
  }
  template <lock_for<Takes> Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, std::stop_token stop, const std::chrono::duration<Rep, Period>& timeout, Predicate done) {
    const std::int64_t ns = deadline_after(timeout);
    return wait_unless_stopped(
        lock, stop, [ns] { return ns; }, [] { return true; }, done);
  }
  template <lock_for<Takes> Lock, class Clock, class Duration, class Predicate>
  bool wait_until(Lock& lock, std::stop_token stop, const std::chrono::time_point<Clock, Duration>& when,
                  Predicate done) {
    return wait_unless_stopped(
        lock, stop, [&when] { return deadline_at(when); }, [&when] { return has_come(when); }, done);
  }
  template <lock_for<Takes> Lock, class Predicate>
  bool wait(Lock& lock, const context& ctx, Predicate done) {
    const context keep = ctx;  // the caller's handle may be assigned to during the wait
    const std::shared_ptr<net::cancellation> source = keep.as_cancellation();
    const auto wait_once = [&] {
      (void)self().template wait_ended_by<net::wake_on_cancel>(lock, sched::platform::forever_ns, source.get());
      return true;
    };
    return wait_unless([&] { return keep.is_done(); }, wait_once, done);
  }

 protected:
  constexpr condition_waits() noexcept = default;
  ~condition_waits() = default;

 private:
  static constexpr auto never = [] { return false; };

  Condition& self() noexcept { return static_cast<Condition&>(*this); }

  template <class Lock>
  std::cv_status wait_deadline(Lock& lock, std::int64_t deadline_ns) {
    const std::uint32_t how = self().template wait_ended_by<no_link>(lock, deadline_ns, 0);
    return how == sched::waiter::timed_out ? std::cv_status::timeout : std::cv_status::no_timeout;
  }
  // Calls deadline() again for each wait, and has_come() after a wait that lasted until it.
  template <class Lock, class Deadline, class HasCome, class Predicate>
  bool wait_unless_stopped(Lock& lock, const std::stop_token& stop, const Deadline& deadline, const HasCome& has_come,
                           Predicate& done) {
    const auto wait_once = [&] {
      const std::uint32_t how = self().template wait_ended_by<stop_link>(lock, deadline(), stop);
      return how != sched::waiter::timed_out || !has_come();
    };
    return wait_unless([&] { return stop.stop_requested(); }, wait_once, done);
  }
  // Waits until done() is true or is_over() is. wait_once() returns false if the time has passed. Returns the last
  // result of done(). It is called at least once, and after the end of the last wait.
  template <class IsOver, class Wait, class Predicate>
  static bool wait_unless(const IsOver& is_over, const Wait& wait_once, Predicate& done) {
    while (!is_over()) {
      if (done()) return true;
      if (!wait_once()) break;
    }
    return done();
  }
};

// Switches. Waits until the number is zero. An agent that was notified just when something else ended its wait counts
// itself out with its last access. `what` is for destructor_may_wait(): it says what happens if the number never
// becomes zero.
void await_leaving(const sched::platform::atomic<std::uint32_t>& leaving, const char* what) noexcept;

}  // namespace baton::detail
