// The lock is the program's: its unlock() may wait itself. So a waiter must be in the list before unlock(), to miss no
// notify, but may not prepare to park before it. Each wait has a place in the list, with a stage, and a waiter that the
// agent uses after unlock().
//
//   wait      join the list, unlock (stage: unlocking), prepare the waiter, CAS unlocking -> waiter*, park. If
//             the CAS fails the notify has come already: do not park
//   notify    under list_lock_ take places off. CAS unlocking -> notified: that is all, the agent finds it.
//             Otherwise claim the place's waiter. After the lock ready those that were claimed
//   another   end: a deadline, a stop token or a context has claimed the waiter. The agent takes its place off
//             under list_lock_. If a notifier has taken it off, the agent counts itself out of `leaving_`,
//             where that notifier has counted it. The notifier goes on to the next place, so no notify is lost
//   unlock()  throws: CAS unlocking -> gone, then as above
//
// A place and a waiter lie on the stack of their agent. A notifier touches a place under list_lock_ while it is in the
// list, and not after the CAS to `notified`. It touches a waiter that it has claimed until ready().
//
// Destruction: as of condition_variable. A notified agent touches only its own stack.
#include <baton/runtime/condition_variable_any.h>

#include <baton/sched/park.h>

#include <cstdint>

namespace baton {

namespace mo = sched::platform::mo;

condition_variable_any::~condition_variable_any() {
  // An agent whose wait was ended otherwise may have emptied the list, and may still be at the lock. Its unlock is its
  // last access.
  { const sched::platform::lock_guard guard(list_lock_); }
  // acquire: pairs with the release in leave().
  if (leaving_.load(mo::acquire) != 0) {
    detail::await_leaving(leaving_, "a condition_variable_any leaves those whose wait has ended");
  }
}

void condition_variable_any::add(place& p) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  places_.push_back(p);
  any_.store(true, mo::relaxed);
}

// Returns false if the notify has come; the waiter is not prepared then.
bool condition_variable_any::begin(place& p, sched::waiter& w) noexcept {
  w.prepare(sched::wait_reason::condition_variable);
  std::uintptr_t expected = unlocking;
  // release: publishes the waiter to the notifier. acquire: pairs with the notifier's release.
  if (p.stage.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&w), mo::acq_rel, mo::acquire)) {
    return true;
  }
  sched::cancel_park(w.who());
  return false;
}

void condition_variable_any::leave(place& p) noexcept {
  {
    const sched::platform::lock_guard guard(list_lock_);
    if (places_.contains(p)) {
      places_.remove(p);
      if (places_.empty()) any_.store(false, mo::relaxed);
      return;
    }
  }
  leaving_.fetch_sub(1, mo::release);  // pairs with the destructor; the last access
}

void condition_variable_any::give_up(place& p) noexcept {
  std::uintptr_t expected = unlocking;
  // relaxed: the list's lock orders what a notifier sees. After a notify there is nothing to leave.
  if (p.stage.compare_exchange_strong(expected, gone, mo::relaxed, mo::relaxed)) leave(p);
}

void condition_variable_any::notify(bool all) noexcept {
  sched::waiter_list taken;
  {
    const sched::platform::lock_guard guard(list_lock_);
    while (sched::waiter* const first = places_.pop_front()) {
      place& p = *static_cast<place*>(first);
      std::uintptr_t seen = unlocking;
      // release: pairs with the acquire in begin(). acquire: the waiter is complete.
      if (!p.stage.compare_exchange_strong(seen, notified, mo::acq_rel, mo::acquire)) {
        auto* const w = seen != gone ? reinterpret_cast<sched::waiter*>(seen) : nullptr;
        if (w == nullptr || !w->claim(sched::waiter::signalled)) {
          leaving_.fetch_add(1, mo::relaxed);  // the agent sees this when it has had the lock
          continue;
        }
        taken.push_back(*w);
      }
      if (!all) break;
    }
    if (places_.empty()) any_.store(false, mo::relaxed);
  }
  while (sched::waiter* const w = taken.pop_front()) sched::ready(w->who());
}

}  // namespace baton
