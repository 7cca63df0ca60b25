// The life of one arming (a number, under the lock):
//
//   reset         Gives the arming its number, then arms a timer of the scheduler with it, without the lock, because
//                 that may allocate. If there was a stop or another reset meanwhile, the timer is cancelled.
//   callback      armed -> due, if the number is still the same. Leaves the rest to the timer worker, with a reference.
//   timer worker  Gets what it needs (a fiber). Without memory it comes again later, and the timer is still due. Then
//                 due -> announced (the value is in the channel, or its receiver is claimed) in one step under the
//                 lock. Then, without the lock, it finishes (readies the receiver, starts the fiber).
//   stop          Takes a new number. In the same step it takes back whatever there is of the old one: armed, due, or a
//                 value in the channel that has not been received. Then it cancels the scheduler's timer without the
//                 lock, because that timer's callback takes the lock.
//
// So after a stop or reset no stale value can be received: what was announced before is either gone from the channel,
// or was received; and nothing of the old number is announced later. The answer is exact, too: it is true if and only
// if what was pending has not been received and never will be.
//
// What keeps the state alive: cancel_timer() waits for a running callback, and stop() precedes the end of the handle.
// So the callback may use the state without a reference of its own. A detached state has no handle; its reference goes
// with the announcement. The timer worker passes its references to the code that finishes. The last reference destroys
// the user's function, which may take long and wait. So for a function the fiber that calls it destroys it, never the
// timer worker.
//
// Lock order: a state's lock before its channel's.
#include <baton/runtime/detail/timer_state.h>

#include <baton/sched/platform/clock.h>

#include <new>
#include <utility>

namespace baton::detail {

namespace platform = sched::platform;

bool timer_state::disarm(std::uint64_t* arming) noexcept {
  sched::timer_handle timer;
  bool pending = false;
  withdrawal w;
  {
    const platform::lock_guard hold(lock_);
    *arming = ++arming_;
    at_rest_.store(true, platform::mo::relaxed);
    timer = std::exchange(timer_, {});
    pending = std::exchange(armed_, false);
    if (std::exchange(due_, false)) pending = true;
    if (withdraw(w)) pending = true;
  }
  w.from_sender.finish();
  sched::cancel_timer(timer);
  return pending;
}

bool timer_state::stop() noexcept {
  std::uint64_t arming = 0;
  return disarm(&arming);
}

bool timer_state::reset(std::int64_t when_ns, bool past) {
  std::uint64_t arming = 0;
  const bool pending = disarm(&arming);
  arm_or_do(when_ns, past, arming);
  return pending;
}

// No other thread knows the state before the callback, and the callback neither reads nor changes the handle of its
// timer. So this needs no lock.
void timer_state::arm_first(std::int64_t when_ns) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  never_ = when_ns == platform::forever_ns;
  armed_ = true;
  at_rest_.store(false, platform::mo::relaxed);
  if (never_) return;
  try {
    timer_worker::get().start();
    // The heap's lock publishes what was written above to the callback.
    timer_ = sched::arm_timer(when_ns, &on_timer, this, 0);
  } catch (...) {
    armed_ = false;
    throw;
  }
}

void timer_state::arm_or_do(std::int64_t when_ns, bool past, std::uint64_t arming) {
  if (!past) return arm(when_ns, arming);
  occasion o(arming);
  if (!get_ready(o)) throw std::bad_alloc();
  {
    const platform::lock_guard hold(lock_);
    if (arming_ != arming) return;
    at_rest_.store(false, platform::mo::relaxed);  // what it announces may have to be taken back
    announce(o);
  }
  finish(o, 0);
}

void timer_state::arm(std::int64_t when_ns, std::uint64_t arming) {
  {
    const platform::lock_guard hold(lock_);
    if (arming_ != arming) return;
    at_rest_.store(false, platform::mo::relaxed);
    armed_ = true;
    never_ = when_ns == platform::forever_ns;
    if (never_) return;
  }
  try {
    timer_worker::get().start();
    const sched::timer_handle timer = sched::arm_timer(when_ns, &on_timer, this, arming);
    {
      const platform::lock_guard hold(lock_);
      if (arming_ == arming) {
        timer_ = timer;
        return;
      }
    }
    sched::cancel_timer(timer);
  } catch (...) {
    const platform::lock_guard hold(lock_);
    if (arming_ == arming) armed_ = false;
    throw;
  }
}

void timer_state::on_timer(void* self, std::uint64_t arming, sched::fiber_list& readied) noexcept {
  auto* const s = static_cast<timer_state*>(self);
  {
    const platform::lock_guard hold(s->lock_);
    if (s->arming_ != arming || !s->armed_) return;
    s->armed_ = false;
    s->due_ = true;
    if (std::exchange(s->queued_, true)) return;
    s->retain();
  }
  timer_worker::get().push(s, readied);
}

void timer_state::come_again() noexcept {
  {
    const platform::lock_guard hold(lock_);
    if (std::exchange(queued_, true)) return;
    retain();
  }
  timer_worker::get().try_later(this);
}

void timer_state::run() noexcept {
  occasion o;
  if (!get_ready(o)) {
    timer_worker::get().try_later(this);  // nothing has changed: a stop() may take it back meanwhile
    return;
  }
  bool due = false;
  bool detached = false;
  {
    const platform::lock_guard hold(lock_);
    queued_ = false;
    due = std::exchange(due_, false);
    o.arming = arming_;
    if (due) {
      announce(o);
      detached = std::exchange(detached_, false);
    }
  }
  const std::uint32_t kept = detached ? 2 : 1;
  if (due) {
    finish(o, kept);
  } else {
    let_go(o, kept);
  }
}

void timer_state::detach() noexcept {
  {
    const platform::lock_guard hold(lock_);
    detached_ = (armed_ && !never_) || due_;
    if (detached_) return;
  }
  release();
}

void channel_timer::announce(occasion& o) noexcept {
  channel_core& c = *channel_.core();
  c.lock();
  // If a ticker's earlier value is still there, this one is superfluous.
  static_cast<void>(c.attempt_send(&o.now, o.to_receiver));
  c.unlock();
}

bool channel_timer::withdraw(withdrawal& w) noexcept {
  channel_core& c = *channel_.core();
  c.lock();
  const bool there_was = c.attempt_receive(&w.stale, w.from_sender) == channel_status::ok;
  c.unlock();
  return there_was;
}

}  // namespace baton::detail
