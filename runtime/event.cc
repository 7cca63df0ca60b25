// One word, so that a round trip costs three locked instructions a side: push, take, reset.
//
//   0                       not set, nobody waits
//   1                       set
//   node*                   not set; the waiters, youngest first, linked by `next`. The nodes are on
//                           the stacks of those who wait
//   node* | leaving_bit     the same, and one whose time is up is unlinking its node
//
//   wait     1: return. Otherwise prepare the strand, fill the node, CAS it in as the new head
//            (keeping the leaving bit), park.
//   set      CAS anything -> 1; the nodes that hung there are now ours alone: wake them, oldest first.
//            A set that found 1 writes it again: otherwise wait(); reset(); look at the data could
//            miss what was written before this set. With the leaving bit: wait for the lock `leaving_`
//            and look again.
//   reset    CAS 1 -> 0. A plain store would be wrong: of two resets that both saw 1, the second could
//            wipe out a waiter that came after the first.
//   leave    (a timed wait whose waiter was claimed by its deadline.) Under the lock `leaving_`, and
//            with the leaving bit set, nobody takes the list, and pushes only change its head: so the
//            node can be unlinked in place. Not there: a set() has taken it, and is walking over our
//            node; then we wait until that set() says that it is past it, and report "set".
//
// Who may touch a node when:
//   before the CAS that publishes it         its owner
//   while it hangs on the word               `next`: whoever holds the leaving bit
//   once set() took the list                 that set(), until it calls ready() for the node's strand
//                                            or lets go of it; the owner does not return before that
//   So set() reads `next` and `who` before it readies. It turns the list round first, when all nodes
//   are still there.
//
// Destruction: the CAS in set() is its last access to the event, whether waiters were taken or not;
// afterwards it touches only nodes, whose owners are still inside wait(). A wait() that returns at
// once touches nothing after its load. leave() touches the event, but inside a wait that has not
// returned. A set() that waits for the lock has not set yet, so no wait has ended because of it.
//
// Orders: the push releases the node, the take acquires it. set() releases what its caller wrote, the
// load or CAS in wait() that sees 1 acquires it; a parked waiter gets it through ready(). reset()
// acquires, so that who resets and then looks sees what was written before the set that it undid.
#include <baton/runtime/event.h>

#include <baton/sched/park.h>
#include <baton/sched/waiter.h>

namespace baton {

namespace mo = sched::platform::mo;

struct alignas(8) event::node {
  node* next = nullptr;
  sched::strand* who = nullptr;
  sched::waiter* timed = nullptr;  // null: no deadline, whoever takes the node readies its strand

  // The end of a timed wait whose node a set() has taken too late: which of the two came first.
  enum : std::uint32_t { held, owner_waits, let_go };
  sched::platform::atomic<std::uint32_t> grip{held};

  // By the set() that holds the node; the node may be gone when it returns.
  void wake() noexcept {
    sched::strand* const s = who;
    if (timed == nullptr || timed->claim(sched::waiter::signalled)) {
      sched::ready(s);
      return;
    }
    // acq_rel: the owner goes on only after our accesses to the node; we see that it has prepared.
    if (grip.exchange(let_go, mo::acq_rel) == owner_waits) sched::ready(s);
  }

  // By the owner: (S) waits until the set() that holds the node has let go.
  void await_release() noexcept {
    sched::prepare_park(who, sched::wait_reason::event);
    // acq_rel: pairs with the exchange in wake().
    if (grip.exchange(owner_waits, mo::acq_rel) == let_go) {
      sched::cancel_park(who);
    } else {
      sched::park(who);
    }
  }
};

void event::set() noexcept {
  std::uintptr_t seen = word_.load(mo::relaxed);
  for (;;) {
    if ((seen & leaving_bit) != 0) {
      { const sched::platform::lock_guard guard(leaving_); }
      seen = word_.load(mo::relaxed);
      continue;
    }
    // acq_rel: see above.
    if (word_.compare_exchange_weak(seen, is_set_value, mo::acq_rel, mo::relaxed)) break;
  }
  if (seen == 0 || seen == is_set_value) return;

  auto* const youngest = reinterpret_cast<node*>(seen);
  if (youngest->next == nullptr) {
    youngest->wake();
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
    n->wake();
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
    n.next = reinterpret_cast<node*>(seen & ~leaving_bit);
    // release: publishes the node. acquire on failure: it may be set by now.
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
  n.who = sched::current_strand();
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
  if (is_set()) {
    sched::yield_if_due();
    return true;
  }
  sched::waiter w;
  node n;
  n.who = w.who();
  n.timed = &w;
  w.prepare(sched::wait_reason::event);
  if (!push(n)) {
    sched::cancel_park(n.who);
    return true;
  }
  if (w.wait(deadline_ns) != sched::waiter::timed_out) return true;
  if (leave(n)) return false;
  n.await_release();
  return true;
}

// True: the node was unlinked. False: a set() has taken it.
bool event::leave(node& n) noexcept {
  const sched::platform::lock_guard guard(leaving_);
  std::uintptr_t seen = word_.load(mo::relaxed);
  do {
    if (seen == 0 || seen == is_set_value) return false;
    // acquire: we read nodes that others pushed.
  } while (!word_.compare_exchange_weak(seen, seen | leaving_bit, mo::acquire, mo::relaxed));

  bool found = false;
  node* head = reinterpret_cast<node*>(seen);
  if (head == &n) {
    // The youngest. With nobody younger: swing the head, which clears the leaving bit.
    std::uintptr_t expected = seen | leaving_bit;
    // acq_rel: releases what earlier leavers changed, acquires a younger node.
    if (word_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(n.next), mo::acq_rel, mo::acquire)) {
      return true;
    }
    head = reinterpret_cast<node*>(expected & ~leaving_bit);
  }
  for (node* younger = head; younger != nullptr; younger = younger->next) {
    if (younger->next == &n) {
      younger->next = n.next;
      found = true;
      break;
    }
  }
  // release: pairs with the take in set(), which reads the changed link.
  word_.fetch_and(~leaving_bit, mo::release);
  return found;
}

}  // namespace baton
