// A timer whose fired() has not been called is only a deadline. Its time cannot have been received, so until it is
// stopped it is pending, whatever the clock says. The first fired() makes the state (timer_state.h), which from then on
// is the timer:
//
//   fired()   under the lock: there is a state: return its channel. Otherwise read the deadline, make a
//             state and start it without the lock, and publish it under the lock, if meanwhile no other
//             call has done so or changed the deadline; else drop it, and try again.
//
// A state, once there, stays until the timer is moved from, detached or destroyed. None of these may be done beside
// other calls, so the state may be read and used without the lock.
#include <baton/runtime/timer.h>

#include <baton/sched/platform/clock.h>

#include <utility>

namespace baton {

namespace platform = sched::platform;

channel<timer::time_point> timer::fired() const {
  for (;;) {
    // acquire, here and in the others: pairs with the release below.
    if (const detail::timer_state* const s = state_.load(platform::mo::acquire)) return s->events();
    std::int64_t when_ns = stopped;
    {
      const platform::lock_guard hold(lock_);
      when_ns = when_ns_;
    }
    auto* const mine = new detail::channel_timer;
    try {
      if (when_ns != stopped) mine->start(when_ns, when_ns <= platform::now_ns());
    } catch (...) {
      mine->drop();
      throw;
    }
    {
      const platform::lock_guard hold(lock_);
      if (state_.load(platform::mo::relaxed) == nullptr && when_ns_ == when_ns) {
        state_.store(mine, platform::mo::release);
        return mine->events();
      }
    }
    mine->drop();
  }
}

bool timer::stop() noexcept {
  if (detail::timer_state* const s = state_.load(platform::mo::acquire)) return s->stop();
  {
    const platform::lock_guard hold(lock_);
    if (state_.load(platform::mo::relaxed) == nullptr) return std::exchange(when_ns_, stopped) != stopped;
  }
  return state_.load(platform::mo::acquire)->stop();  // made meanwhile
}

bool timer::reset_ns(std::int64_t ns) {
  const std::int64_t when_ns = detail::deadline_after_ns(ns);
  if (detail::timer_state* const s = state_.load(platform::mo::acquire)) return s->reset(when_ns, ns <= 0);
  {
    const platform::lock_guard hold(lock_);
    if (state_.load(platform::mo::relaxed) == nullptr) return std::exchange(when_ns_, when_ns) != stopped;
  }
  return state_.load(platform::mo::acquire)->reset(when_ns, ns <= 0);  // made meanwhile
}

void timer::detach() noexcept {
  when_ns_ = stopped;
  if (detail::timer_state* const s = give_up_state()) s->detach();
}

}  // namespace baton
