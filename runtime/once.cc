// One word: 0, called, or calling with or without waiting.
//
//   begin    0: CAS to calling, and call. Calling: under list_lock_ CAS waiting in, join the list, park.
//            After the wake either the function has been called, or this agent has to call it now.
//   done     CAS calling -> called. If there are waiters: first, under list_lock_, take and claim all of
//            them and clear waiting; then try again. They are readied after the CAS.
//   failed   CAS calling -> 0. If there are waiters: under list_lock_ claim the first, to which the calling
//            bit passes, and ready it.
//
// Waits here have no deadline, so a waiter in the list can always be claimed.
//
// Destruction: the CAS to called is the last access to the flag. What follows touches waiters, whose agents are still
// inside begin().
#include <baton/runtime/once.h>

#include <baton/sched/park.h>

namespace baton {

namespace mo = sched::platform::mo;

namespace {
constexpr std::uint32_t call_it = sched::waiter::first_free;
}

bool once_flag::begin() noexcept {
  for (;;) {
    std::uint32_t seen = 0;
    // acquire: pairs with the release in end_done() and end_failed().
    if (word_.compare_exchange_strong(seen, calling_bit, mo::acquire, mo::acquire)) return true;
    if (seen == called) return false;
    sched::waiter w;
    w.prepare(sched::wait_reason::once);
    if (enqueue(w)) return w.wait() == call_it;
    sched::cancel_park(w.who());
  }
}

// Returns false if no agent calls any more; the waiter is in no list then.
bool once_flag::enqueue(sched::waiter& w) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  std::uint32_t seen = word_.load(mo::relaxed);
  do {
    if ((seen & calling_bit) == 0) return false;
  } while (!word_.compare_exchange_weak(seen, seen | waiting_bit, mo::relaxed, mo::relaxed));
  waiters_.push_back(w);
  return true;
}

void once_flag::end_done() noexcept {
  sched::waiter_list claimed;
  std::uint32_t seen = calling_bit;
  // release: pairs with the acquire of all agents that find it called.
  while (!word_.compare_exchange_strong(seen, called, mo::release, mo::relaxed)) {
    const sched::platform::lock_guard guard(list_lock_);
    while (sched::waiter* const w = waiters_.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
    word_.store(calling_bit, mo::relaxed);  // only this agent writes the word while it holds the lock
    seen = calling_bit;
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

void once_flag::end_failed() noexcept {
  std::uint32_t seen = calling_bit;
  // release: the next agent that calls sees what this one has left behind.
  if (word_.compare_exchange_strong(seen, 0, mo::release, mo::relaxed)) return;
  sched::agent* heir = nullptr;
  {
    const sched::platform::lock_guard guard(list_lock_);
    if (sched::waiter* const w = waiters_.claim_front(call_it)) heir = w->who();
    if (waiters_.empty()) word_.store(calling_bit, mo::relaxed);
  }
  sched::ready(heir);
}

}  // namespace baton
