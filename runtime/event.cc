// The event is one word, so that a round trip costs three locked instructions a side: push, take, reset. Only waiters
// with a deadline or a context cost more, because they may have to leave from the middle: they are in a list under a
// lock.
//
//   0                 not set, no waiter
//   1                 set
//   node*             not set; the waiters that cannot leave, youngest first, linked by `next`. Each node is on
//                     its waiter's stack
//   node* | leaving   the same, or null; and the list `may_leave_` is not empty
//
// The leaving bit is set and cleared under lock_ only, together with the first and the last waiter of the list.
//
//   wait     1: return. Otherwise prepare the agent, fill the node, CAS it in as the new head (keeping
//            the leaving bit), park.
//   wait that may leave
//            1: return. Otherwise, under lock_, CAS the leaving bit in, unless the word is 1 by now; join
//            the list; park.
//   set      without the leaving bit: CAS anything -> 1. A set that found 1 writes it again: otherwise
//            wait(); reset(); a check of the data could miss what was written before this set. With the
//            bit: take lock_ and read the word again. If the bit is still there: CAS -> 1, claim all of the
//            list, and unlock lock_. The nodes that hung on the word belong to this set() alone now: wake them,
//            oldest first; then wake the claimed waiters.
//   reset    CAS 1 -> 0. A plain store would be wrong: of two resets that both saw 1, the second could
//            wipe out a waiter that came after the first.
//   time-out, or a context that is done
//            under lock_ leave the list. If the waiter is not there, a set() has taken it off: report "set".
//
// The agent that may touch a node:
//   before the CAS that publishes it         its owner
//   while it hangs on the word               none
//   once a set() has taken the nodes         that set(), until it calls ready() for the node's agent
//   So set() reads `next` and `who` before it calls ready(). It reverses the list first, while all nodes
//   still exist.
//
// Destruction. Without the leaving bit the CAS in set() is its last access to the event, whether it took waiters or
// not; afterwards it touches only nodes, whose owners are still inside wait(). With the leaving bit its last access is
// the unlock (one exchange; after it only the lock's address is used). From the CAS until then the list has had a
// waiter. That waiter does not return before the unlock: either it is claimed, and readied later; or its wait ended
// otherwise, and it has to take the lock. That is why set() reads the bit again under the lock. A wait() that returns
// at once touches nothing after its load. A waiter that leaves the list touches the event, but inside a wait that has
// not returned. A set() that waits for the lock has not set yet, so no wait has ended because of it.
//
// Orders: the push releases the node, the take acquires it. set() releases what its caller wrote. The load or CAS in
// wait() that sees 1 acquires it; a parked waiter gets it through ready(), one that left too late through lock_.
// reset() acquires, so that an agent that resets and then checks the data sees what was written before the set that it
// undid.
#include <baton/runtime/event.h>

#include <baton/runtime/detail/unless_done.h>
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
    if ((seen & leaving_bit) != 0) [[unlikely]] {
      if (set_with_leaving()) return;
      seen = word_.load(mo::relaxed);
      continue;
    }
    // acq_rel: see above.
    if (word_.compare_exchange_weak(seen, is_set_value, mo::acq_rel, mo::relaxed)) break;
  }
  if (seen != 0 && seen != is_set_value) wake(reinterpret_cast<node*>(seen));
}

// Returns false if the list is empty by now; nothing was done then.
bool event::set_with_leaving() noexcept {
  sched::waiter_list claimed;
  std::uintptr_t seen = 0;
  {
    const sched::platform::lock_guard guard(lock_);
    seen = word_.load(mo::relaxed);
    do {
      if ((seen & leaving_bit) == 0) return false;
      // acq_rel: see above.
    } while (!word_.compare_exchange_weak(seen, is_set_value, mo::acq_rel, mo::relaxed));
    while (sched::waiter* const w = may_leave_.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
  }
  if (seen != leaving_bit) wake(reinterpret_cast<node*>(seen & ~leaving_bit));
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
  // acquire: see above. The load before it saves the locked instruction when there is nothing to do.
  if (word_.load(mo::relaxed) == is_set_value) {
    word_.compare_exchange_strong(expected, 0, mo::acquire, mo::relaxed);
  }
}

// Returns false if the event is set; the node hangs nowhere then.
bool event::push(node& n) noexcept {
  std::uintptr_t seen = word_.load(mo::acquire);
  do {
    if (seen == is_set_value) return false;
    n.next = reinterpret_cast<node*>(seen & ~leaving_bit);
    // release: publishes the node. acquire on failure: the event may be set by now.
  } while (!word_.compare_exchange_weak(seen, reinterpret_cast<std::uintptr_t>(&n) | (seen & leaving_bit), mo::release,
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
  // release: as in push(). This is push() for the usual case that there is no other waiter.
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
  return wait_by([deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

absl::Status event::wait(const context& ctx) {
  return detail::unless_done(ctx, "wait for an event", [this](const auto& wait) { return wait_by(wait); });
}

// `wait` waits for the outcome of a waiter that is in the list. Returns false if a deadline or a context ended it.
template <class Wait>
bool event::wait_by(const Wait& wait) {
  if (is_set()) {
    sched::yield_if_due();
    return true;
  }
  sched::waiter w;
  if (!enqueue(w)) return true;
  if (wait(w) == sched::waiter::signalled) return true;
  const sched::platform::lock_guard guard(lock_);
  if (!may_leave_.contains(w)) return true;
  may_leave_.remove(w);
  // relaxed: an agent that saw the bit takes the lock; the nodes' releases go on through it.
  if (may_leave_.empty()) word_.fetch_and(~leaving_bit, mo::relaxed);
  return false;
}

// Returns false if the event is set; the waiter is not prepared then, and in no list.
bool event::enqueue(sched::waiter& w) noexcept {
  const sched::platform::lock_guard guard(lock_);
  std::uintptr_t seen = word_.load(mo::acquire);
  do {
    if (seen == is_set_value) return false;
    // relaxed: as above. acquire on failure: the event may be set by now.
  } while (!word_.compare_exchange_weak(seen, seen | leaving_bit, mo::relaxed, mo::acquire));
  w.prepare(sched::wait_reason::event);
  may_leave_.push_back(w);
  return true;
}

}  // namespace baton
