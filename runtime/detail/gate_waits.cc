// A waiter that end() claims does not go on before it is readied. The others do not go on before they have taken the
// lock to unlink themselves. So all of them exist until then.
#include <baton/runtime/detail/gate_waits.h>

#include <baton/sched/park.h>

namespace baton::detail {

void gate_waits::one::subscribe(sched::waiter& w) noexcept {
  {
    const sched::platform::lock_guard hold(all_.lock_);
    if (!all_.ended_) {
      who_ = &w;
      next_ = all_.first_;
      if (next_ != nullptr) next_->prev_ = this;
      all_.first_ = this;
      return;
    }
  }
  w.wake(sched::waiter::cancelled);
}

void gate_waits::one::unsubscribe() noexcept {
  const sched::platform::lock_guard hold(all_.lock_);
  if (who_ != nullptr) all_.unlink(*this);
}

void gate_waits::unlink(one& w) noexcept {
  (w.prev_ != nullptr ? w.prev_->next_ : first_) = w.next_;
  if (w.next_ != nullptr) w.next_->prev_ = w.prev_;
  w.who_ = nullptr;
}

void gate_waits::end() noexcept {
  one* claimed = nullptr;
  {
    const sched::platform::lock_guard hold(lock_);
    ended_ = true;
    while (one* const w = first_) {
      sched::waiter* const who = w->who_;
      unlink(*w);
      if (!who->claim(sched::waiter::cancelled)) continue;
      w->who_ = who;
      w->next_ = claimed;
      claimed = w;
    }
  }
  while (one* const w = claimed) {
    claimed = w->next_;
    sched::agent* const agent = w->who_->who();
    w->who_ = nullptr;
    sched::ready(agent);
  }
}

}  // namespace baton::detail
