// A channel timer (timer_state.h) that sets itself again when the timer_worker has handed out its tick. It does so
// under the arming that was due, so that a stop() or reset() meanwhile has the last word. The next time is the first
// multiple of the period after now, so ticks that were missed are left out. A tick that finds another in the channel is
// dropped there.
//
// Without memory for the next tick the ticker tries again. If the next tick is due by then, it announces that tick
// without a timer.
//
// The period and the next time belong to an arming, whose number stands beside them: the timer_worker leaves them alone
// if its tick belongs to an arming that is over. The latest number wins.
#include <baton/runtime/ticker.h>

#include <baton/runtime/detail/timer_state.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/clock.h>

#include <new>

namespace baton {

namespace platform = sched::platform;

namespace detail {

class ticker_state final : public channel_timer {
 public:
  void tick_every(std::int64_t period_ns) {
    std::uint64_t arming = 0;
    static_cast<void>(disarm(&arming));
    const std::int64_t first_ns = deadline_after_ns(period_ns);
    {
      const platform::lock_guard hold(lock_);
      if (arming < arming_) return;
      arming_ = arming;
      period_ns_ = period_ns;
      next_ns_ = first_ns;
    }
    arm(first_ns, arming);
  }

 private:
  void finish(occasion& o, std::uint32_t kept) noexcept override {
    tick_again(o);
    if (kept != 0) release(kept);
  }

  void tick_again(occasion& o) noexcept {
    channel_timer::finish(o, 0);
    const std::int64_t now = platform::now_ns();
    std::int64_t next_ns = 0;
    {
      const platform::lock_guard hold(lock_);
      if (o.arming != arming_) return;
      // The sum cannot overflow: a time that has been due lies in the past, so the period is less than now.
      next_ns_ += period_ns_ * (1 + (now - next_ns_) / period_ns_);
      next_ns = next_ns_;
    }
    arm_or_come_again(next_ns, o.arming);
  }

  void arm_or_come_again(std::int64_t next_ns, std::uint64_t arming) noexcept {
    try {
      arm(next_ns, arming);
    } catch (const std::bad_alloc&) {
      {
        const platform::lock_guard hold(lock_);
        not_armed_ = arming;
      }
      come_again();
    }
  }

  void let_go(occasion&, std::uint32_t kept) noexcept override {
    std::uint64_t arming = 0;
    std::int64_t next_ns = 0;
    {
      const platform::lock_guard hold(lock_);
      arming = std::exchange(not_armed_, 0);
      next_ns = next_ns_;
      if (arming != arming_) arming = 0;
    }
    if (arming != 0) {
      // A tick whose time has come meanwhile needs no timer. It gets ready without memory, so nothing is thrown.
      if (platform::now_ns() >= next_ns) {
        arm_or_do(next_ns, true, arming);
      } else {
        arm_or_come_again(next_ns, arming);
      }
    }
    release(kept);
  }

  platform::spin_lock lock_;
  std::uint64_t arming_ ABSL_GUARDED_BY(lock_) = 0;
  std::int64_t period_ns_ ABSL_GUARDED_BY(lock_) = 1;
  std::int64_t next_ns_ ABSL_GUARDED_BY(lock_) = 0;
  std::uint64_t not_armed_ ABSL_GUARDED_BY(lock_) = 0;  // the arming that lacked memory; 0: none
};

}  // namespace detail

namespace {

std::int64_t checked(std::int64_t period_ns) noexcept {
  if (period_ns <= 0) sched::fatal("ticker: the period is not positive");
  return period_ns;
}

}  // namespace

ticker::ticker(std::int64_t period_ns) : state_(new detail::ticker_state) {
  try {
    state_->tick_every(checked(period_ns));
  } catch (...) {
    state_->drop();
    throw;
  }
}

void ticker::drop() noexcept {
  if (state_ != nullptr) state_->drop();
}

channel<ticker::time_point> ticker::ticks() const {
  return state_ != nullptr ? state_->events() : channel<time_point>();
}

void ticker::stop() noexcept {
  if (state_ != nullptr) static_cast<void>(state_->stop());
}

void ticker::reset_ns(std::int64_t period_ns) {
  if (state_ == nullptr) sched::fatal("ticker: reset of one that was moved from");
  state_->tick_every(checked(period_ns));
}

}  // namespace baton
