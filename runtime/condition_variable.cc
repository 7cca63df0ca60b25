// One word, so that a wait and its notify cost one compare-and-swap each if there is no other waiter:
//
//   none      waiters_ is empty
//   waiter*   one waiter, that only a notify can wake; waiters_ is empty. It lies on its agent's stack, and
//             belongs to the agent that swaps it out of the word; before that, it must not be read
//   listed    waiters_, under list_lock_, is not empty. Set and cleared under list_lock_ only
//
//   wait      none, and only a notify can wake: CAS the waiter in. Otherwise under list_lock_: CAS none -> listed,
//             or waiter* -> listed and put that one into the list, in front; join the list. Then unlock
//             the mutex: an agent that changes the condition afterwards finds this waiter
//   notify    waiter*: CAS it out, ready it. listed: under list_lock_ take waiters off and claim them; after
//             the lock ready them. A claimed waiter stays where it is until it is readied, so the list of
//             those to be readied is made of the waiters themselves
//   another   end: a deadline, a stop token or a context has claimed the waiter, which takes itself off
//             under list_lock_. If a notifier has taken it off, it counts itself out of `leaving_`, where
//             that notifier has counted it
//
// The CAS of a waiter* can succeed although that waiter has gone and has come again, or another one lies at the same
// address now. Then the waiter at that address is the one that waits now.
//
// Destruction: the notifier's last access is the CAS, or the unlock, before the first ready(). A notified waiter
// touches its mutex and its own stack only. A waiter whose wait was ended otherwise when it was notified still has
// to search the list for itself. The destructor waits for such waiters: they are awake, and about to leave. A waiter
// that has just found itself in the list, and left it empty, still holds the lock; so the destructor takes the lock
// once.
#include <baton/runtime/condition_variable.h>

#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/timer.h>

#include <cstdint>
#include <new>

namespace baton {

namespace mo = sched::platform::mo;

void condition_variable::not_held() noexcept { sched::fatal("wait on a condition_variable without holding the mutex"); }

void condition_variable::add(sched::waiter& w, bool may_leave) noexcept {
  w.prepare(sched::wait_reason::condition_variable);
  std::uintptr_t expected = none;
  // release: publishes the waiter to the agent that swaps it out.
  if (may_leave ||
      !word_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&w), mo::release, mo::relaxed)) {
    enqueue(w);
  }
}

void condition_variable::enqueue(sched::waiter& w) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  std::uintptr_t seen = word_.load(mo::relaxed);
  // acquire: pairs with the release of the waiter that is swapped out.
  while (seen != listed && !word_.compare_exchange_weak(seen, listed, mo::acquire, mo::relaxed)) {
  }
  if (seen != listed && seen != none) waiters_.push_back(*reinterpret_cast<sched::waiter*>(seen));
  waiters_.push_back(w);
}

void condition_variable::leave(sched::waiter& w) noexcept {
  {
    const sched::platform::lock_guard guard(list_lock_);
    if (waiters_.contains(w)) {
      waiters_.remove(w);
      if (waiters_.empty()) word_.store(none, mo::relaxed);
      return;
    }
  }
  leaving_.fetch_sub(1, mo::release);  // pairs with the destructor; the last access
}

void condition_variable::notify_slow(std::uintptr_t seen, bool all) noexcept {
  while (seen != none) {
    if (seen == listed) {
      if (notify_listed(all)) return;
      seen = word_.load(mo::relaxed);
      // acquire: pairs with the release in add().
    } else if (word_.compare_exchange_weak(seen, none, mo::acquire, mo::relaxed)) {
      sched::ready(reinterpret_cast<sched::waiter*>(seen)->who());
      return;
    }
  }
}

// Returns false if the list was empty.
bool condition_variable::notify_listed(bool all) noexcept {
  sched::waiter_list taken;
  {
    const sched::platform::lock_guard guard(list_lock_);
    if (waiters_.empty()) return false;
    while (sched::waiter* const w = waiters_.pop_front()) {
      if (!w->claim(sched::waiter::signalled)) {
        leaving_.fetch_add(1, mo::relaxed);  // the waiter sees this when it has had the lock
        continue;
      }
      taken.push_back(*w);
      if (!all) break;
    }
    if (waiters_.empty()) word_.store(none, mo::relaxed);
  }
  while (sched::waiter* const w = taken.pop_front()) sched::ready(w->who());
  return true;
}

void detail::await_leaving(const sched::platform::atomic<std::uint32_t>& leaving, const char* what) noexcept {
  constexpr int looks = 64;  // a waiter that leaves may be descheduled on its last instructions, perhaps by the caller
  constexpr std::int64_t pause_ns = 100'000;
  // acquire: as in the destructors.
  for (int i = 0; leaving.load(mo::acquire) != 0; ++i) {
    if (i < looks) {
      sched::yield();
      continue;
    }
    // After exit(), waiters that were stopped never leave, but touch nothing any more either.
    if (!sched::destructor_may_wait(what)) return;
    try {
      sched::sleep_until_ns(detail::deadline_after_ns(pause_ns));
    } catch (const std::bad_alloc&) {
      sched::yield();  // no memory for a timer
    }
  }
}

}  // namespace baton
