// One word, so that a round trip costs three locked instructions a side: push, take, reset. Only those who
// wait with a deadline need more, since they may have to leave from the middle: a list under a lock.
//
//   0                 not set, nobody waits
//   1                 set
//   node*             not set; who waits without a deadline, youngest first, linked by `next`. The nodes
//                     are on the stacks of those who wait
//   node* | timed     the same, or null; and the list `timed_` is not empty
//
// The timed bit is set and cleared under lock_ only, together with the first and the last of the list.
//
//   wait     1: return. Otherwise prepare the agent, fill the node, CAS it in as the new head (keeping
//            the timed bit), park.
//   timed    1: return. Otherwise, under lock_, CAS the timed bit in, unless the word is 1 by now; join
//            the list; park.
//   set      without the timed bit: CAS anything -> 1. A set that found 1 writes it again: otherwise
//            wait(); reset(); look at the data could miss what was written before this set. With the
//            bit: take lock_ and look again. Still there: CAS -> 1, and claim all of the list. Then let
//            go of lock_. The nodes that hung on the word are ours alone: wake them, oldest first; then
//            those who were claimed.
//   reset    CAS 1 -> 0. A plain store would be wrong: of two resets that both saw 1, the second could
//            wipe out a waiter that came after the first.
//   time-out under lock_ leave the list. Not there: a set() has taken us off, so report "set".
//
// Who may touch a node when:
//   before the CAS that publishes it         its owner
//   while it hangs on the word               nobody
//   once set() took the list                 that set(), until it calls ready() for the node's agent
//   So set() reads `next` and `who` before it readies. It turns the list round first, when all nodes
//   are still there.
//
// Destruction. Without the timed bit the CAS in set() is its last access to the event, whether waiters
// were taken or not; afterwards it touches only nodes, whose owners are still inside wait(). With it, the
// unlock is (one exchange; after it only the lock's address is used): from the CAS on until then the list
// had somebody, who does not return before the unlock, because he is either claimed, and readied
// later, or his time is up, and he has to take the lock. That is why set() looks for the bit again under
// the lock. A wait() that returns at once touches nothing after its load. Who leaves touches the event,
// but inside a wait that has not returned. A set() that waits for the lock has not set yet, so no wait
// has ended because of it.
//
// Orders: the push releases the node, the take acquires it. set() releases what its caller wrote, the
// load or CAS in wait() that sees 1 acquires it; a parked waiter gets it through ready(), one that left
// too late through lock_. reset() acquires, so that who resets and then looks sees what was written
// before the set that it undid.
#include <baton/runtime/event.h>

#include <baton/sched/park.h>

namespace baton {

namespace mo = sched::platform::mo;

struct alignas(8) event::node {
  node* next = nullptr;
  sched::agent* who = nullptr;
};

void event::set() noexcept {
  std::uintptr_t seen = word_.load(mo::relaxed);
  for (;;) {
    if ((seen & timed_bit) != 0) [[unlikely]] {
      if (set_with_timed()) return;
      seen = word_.load(mo::relaxed);
      continue;
    }
    // acq_rel: see above.
    if (word_.compare_exchange_weak(seen, is_set_value, mo::acq_rel, mo::relaxed)) break;
  }
  if (seen != 0 && seen != is_set_value) wake(reinterpret_cast<node*>(seen));
}

// False: the list is empty by now, and nothing was done.
bool event::set_with_timed() noexcept {
  sched::waiter_list claimed;
  std::uintptr_t seen = 0;
  {
    const sched::platform::lock_guard guard(lock_);
    seen = word_.load(mo::relaxed);
    do {
      if ((seen & timed_bit) == 0) return false;
      // acq_rel: see above.
    } while (!word_.compare_exchange_weak(seen, is_set_value, mo::acq_rel, mo::relaxed));
    while (sched::waiter* const w = timed_.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
  }
  if (seen != timed_bit) wake(reinterpret_cast<node*>(seen & ~timed_bit));
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
  return true;
}

void event::wake(node* youngest) noexcept {
  if (youngest->next == nullptr) {
    sched::ready(youngest->who);
    return;
  }
  node* oldest = nullptr;
  for (node* n = youngest; n != nullptr;) {
    node* const older = n->next;
    n->next = oldest;
    oldest = n;
    n = older;
  }
  while (oldest != nullptr) {
    node* const n = oldest;
    oldest = n->next;
    sched::ready(n->who);
  }
}

void event::reset() noexcept {
  std::uintptr_t expected = is_set_value;
  // acquire: see above. The load in front saves the locked instruction when there is nothing to do.
  if (word_.load(mo::relaxed) == is_set_value) {
    word_.compare_exchange_strong(expected, 0, mo::acquire, mo::relaxed);
  }
}

// False: the event is set, and the node hangs nowhere.
bool event::push(node& n) noexcept {
  std::uintptr_t seen = word_.load(mo::acquire);
  do {
    if (seen == is_set_value) return false;
    n.next = reinterpret_cast<node*>(seen & ~timed_bit);
    // release: publishes the node. acquire on failure: it may be set by now.
  } while (!word_.compare_exchange_weak(seen, reinterpret_cast<std::uintptr_t>(&n) | (seen & timed_bit), mo::release,
                                        mo::acquire));
  return true;
}

void event::wait() noexcept {
  if (is_set()) {
    sched::yield_if_due();
    return;
  }
  node n;
  n.who = sched::current_agent();
  sched::prepare_park(n.who, sched::wait_reason::event);
  std::uintptr_t expected = 0;
  // release: as in push(), which this is for the usual case that nobody else waits.
  if (word_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&n), mo::release, mo::relaxed) ||
      push(n)) {
    sched::park(n.who);
  } else {
    sched::cancel_park(n.who);
  }
}

bool event::wait_deadline(std::int64_t deadline_ns) noexcept {
  if (deadline_ns == sched::platform::forever_ns) {
    wait();
    return true;
  }
  if (is_set()) {
    sched::yield_if_due();
    return true;
  }
  sched::waiter w;
  if (!enqueue(w)) return true;
  if (w.wait(deadline_ns) != sched::waiter::timed_out) return true;
  const sched::platform::lock_guard guard(lock_);
  if (!timed_.contains(w)) return true;
  timed_.remove(w);
  // relaxed: whoever saw the bit takes the lock; the nodes' releases go on through it.
  if (timed_.empty()) word_.fetch_and(~timed_bit, mo::relaxed);
  return false;
}

// False: the event is set, and the waiter is not prepared and in no list.
bool event::enqueue(sched::waiter& w) noexcept {
  const sched::platform::lock_guard guard(lock_);
  std::uintptr_t seen = word_.load(mo::acquire);
  do {
    if (seen == is_set_value) return false;
    // relaxed: as above. acquire on failure: it may be set by now.
  } while (!word_.compare_exchange_weak(seen, seen | timed_bit, mo::relaxed, mo::acquire));
  w.prepare(sched::wait_reason::event);
  timed_.push_back(w);
  return true;
}

}  // namespace baton
