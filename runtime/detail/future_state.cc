// One word: 0, ready, or a mixture of storing, deferred and hooked.
//
//   store      CAS storing in, unless it is there or the state is ready. Construct the result. If that throws, clear
//              storing; otherwise make ready.
//   deferred   the first waiter exchanges deferred for storing, runs the function, makes ready.
//   ready      CAS the word -> ready. If it is hooked: first, under lock_, take and claim all waiters, take all
//              listeners, and clear hooked; then try again. What was taken is readied and called after the CAS.
//   wait       ready: return. Otherwise, under lock_, CAS hooked in, unless the state is ready by now; join the list;
//              park.
//   listen     the same, without parking.
//   time-out   and unlisten(): under lock_ leave the list; the last one out clears hooked.
//
// hooked is set and cleared under lock_ only.
//
// Destruction: the CAS to ready is the last access to the state. An agent that sees ready may drop the last handle,
// even if that was the promise's: set_value() may still ready others then. What follows touches waiters, whose agents
// are still inside wait_deadline(), and listeners, which live until they have been called. A waiter that was claimed
// does not touch the state any more. One whose time is up does, under lock_, but its agent has a handle.
//
// Two setters at once: the second one throws promise_already_satisfied, also if the first one's construction throws
// afterwards. Waiting for it would make set_value() switch.
#include <baton/runtime/detail/future_state.h>

#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/spawn.h>

namespace baton::detail {

namespace mo = sched::platform::mo;

void throw_future_error(std::future_errc code) { throw std::future_error(code); }

void no_exception_given() noexcept { sched::fatal("promise: set_exception with a null exception_ptr"); }

void no_launch_policy() noexcept { sched::fatal("async: the policy has neither launch::async nor launch::deferred"); }

bool future_core::begin_storing() noexcept {
  std::uint32_t seen = word_.load(mo::relaxed);
  while ((seen & (ready_bit | storing_bit)) == 0) {
    // acquire: pairs with the release in stop_storing().
    if (word_.compare_exchange_weak(seen, seen | storing_bit, mo::acquire, mo::relaxed)) return true;
  }
  return false;
}

void future_core::stop_storing() noexcept { word_.fetch_and(~storing_bit, mo::release); }

void future_core::run_if_first() noexcept {
  std::uint32_t seen = word_.load(mo::relaxed);
  while ((seen & deferred_bit) != 0) {
    // acquire: the handle was copied with an order of its own; nothing else was written since.
    if (word_.compare_exchange_weak(seen, (seen & ~deferred_bit) | storing_bit, mo::acquire, mo::relaxed)) {
      run_deferred();
      return;
    }
  }
}

void future_core::make_ready() noexcept {
  sched::waiter_list claimed;
  future_listener* heard = nullptr;
  std::uint32_t seen = word_.load(mo::relaxed);
  for (;;) {
    if ((seen & hooked_bit) != 0) {
      take_hooked(claimed, heard);
      seen = word_.load(mo::relaxed);
      // release: pairs with the acquire in is_ready(). The last access to the state.
    } else if (word_.compare_exchange_weak(seen, ready_bit, mo::release, mo::relaxed)) {
      break;
    }
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
  while (heard != nullptr) {
    future_listener* const l = heard;
    heard = l->next_;
    l->on_ready();
  }
}

void future_core::take_hooked(sched::waiter_list& claimed, future_listener*& heard) noexcept {
  const sched::platform::lock_guard guard(lock_);
  while (sched::waiter* const w = waiters_.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
  while (future_listener* const l = listeners_) {
    listeners_ = l->next_;
    l->link_ = nullptr;
    l->next_ = heard;
    heard = l;
  }
  word_.fetch_and(~hooked_bit, mo::relaxed);
}

bool future_core::wait_deadline(std::int64_t deadline_ns) noexcept {
  if (is_ready()) {
    sched::yield_if_due();
    return true;
  }
  sched::waiter w;
  {
    const sched::platform::lock_guard guard(lock_);
    if (!hook()) return true;
    w.prepare(sched::wait_reason::future);
    waiters_.push_back(w);
  }
  if (w.wait(deadline_ns) != sched::waiter::timed_out) return true;
  const sched::platform::lock_guard guard(lock_);
  waiters_.remove(w);
  unhook_if_bare();
  return false;
}

bool future_core::listen(future_listener& l) noexcept {
  const sched::platform::lock_guard guard(lock_);
  if (!hook()) return false;
  l.next_ = listeners_;
  if (listeners_ != nullptr) listeners_->link_ = &l.next_;
  l.link_ = &listeners_;
  listeners_ = &l;
  return true;
}

bool future_core::unlisten(future_listener& l) noexcept {
  const sched::platform::lock_guard guard(lock_);
  if (l.link_ == nullptr) return false;
  *l.link_ = l.next_;
  if (l.next_ != nullptr) l.next_->link_ = l.link_;
  l.link_ = nullptr;
  unhook_if_bare();
  return true;
}

// Returns false if the state is ready.
bool future_core::hook() noexcept {
  // acquire: pairs with the release in make_ready().
  std::uint32_t seen = word_.load(mo::acquire);
  do {
    if ((seen & ready_bit) != 0) return false;
  } while ((seen & hooked_bit) == 0 &&
           // relaxed: the list is ordered by its lock.
           !word_.compare_exchange_weak(seen, seen | hooked_bit, mo::relaxed, mo::acquire));
  return true;
}

void future_core::unhook_if_bare() noexcept {
  if (waiters_.empty() && listeners_ == nullptr) word_.fetch_and(~hooked_bit, mo::relaxed);
}

bool future_core::await_result() noexcept {
  if (is_ready()) return true;
  if (!sched::destructor_may_wait("a future leaves its state as it is")) return false;
  return wait_deadline(sched::platform::forever_ns);
}

void future_core::end_fiber_locals() noexcept {
  void** const locals = sched::current_fiber_locals();
  if (*locals != nullptr) static_cast<sched::fiber_locals*>(*locals)->end(locals);
}

}  // namespace baton::detail
