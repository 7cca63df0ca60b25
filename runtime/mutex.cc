// The word has three bits (mutex.h), and `owned`, which its owner sets for reports (lock_head.h) and which goes with
// locked: what follows says locked for both. Free and nobody waits: 0. Held and nobody waits: locked.
//
//   lock      1. Heed the end of the slice; set locked. It was not set: done, also past those who wait.
//             2. In the slow path: not locked, CAS + locked. (A waiter that was woken, and
//                takes it, clears woken.)
//             3. Locked: under list_lock_, CAS + waiting while locked is set; join the list; wait.
//                Woken: go to 2, and join the list at its front if somebody was faster. Handed over:
//                done, the locked bit never went away.
//   unlock    1. CAS locked -> 0.
//             2. Nobody waits, or one who was woken competes already: CAS - locked.
//             3. Under list_lock_, still as the owner: claim the first waiter, and clear waiting if it
//                was the last. Unlock the list. If the waiter is old enough it now owns the mutex:
//                ready it. Otherwise swap locked for woken, then ready it.
//
// No wake is lost: waiting is set only while locked is, under list_lock_, so the owner that unlocks
// later sees it; and when it leaves the waiters alone because of woken, the woken one will either own
// the mutex (and unlock it), or join the list again, which clears woken while the mutex is locked.
// Only an owner sets woken, and only if it is not set, so at most one competes.
//
// Destruction: the step that frees the mutex is the last access to it, in each path of unlock; in the
// hand-over, unlocking the list is, and the mutex stays locked until the heir runs. (spin_lock's
// unlock is one exchange; after it only the address is used.) What follows touches the waiter, whose
// strand is still inside lock().
//
// Fairness: barging saves a switch for each lock in a contended mutex. It is bounded by the age of
// the first waiter: 1 ms since it came, and the next unlock that looks hands the mutex over. When that
// happens the waiters behind it are about as old, so the queue is served once in order.
// Rejected: handing over always (a convoy: a switch for each lock); a separate starvation mode, as in
// Go (its flag says no more than the age of the first waiter).
#include <baton/runtime/mutex.h>

#include <baton/sched/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>

namespace baton {

namespace mo = sched::platform::mo;

namespace {

constexpr std::int64_t starving_after_ns = 1'000'000;
constexpr std::uint32_t handed_over = sched::waiter::first_free;

struct lock_waiter : sched::waiter {
  explicit lock_waiter(std::uint64_t ticks) noexcept : since(ticks) {}
  const std::uint64_t since;  // when it came first; kept over the times it is woken in vain
};

bool starving(const sched::waiter& w, std::uint64_t now) noexcept {
  return now - static_cast<const lock_waiter&>(w).since >= sched::platform::ticks_of_ns(starving_after_ns);
}

}  // namespace

bool mutex::lock_slow(std::int64_t deadline_ns) noexcept {
  bool was_woken = false;
  std::uint64_t since = 0;
  for (;;) {
    std::uint32_t seen = head_.word.load(mo::relaxed);
    while ((seen & locked_bit) == 0) {
      const std::uint32_t mine = (seen | locked_bit) & ~(was_woken ? woken_bit : 0U);
      // acquire: pairs with the release in unlock().
      if (head_.word.compare_exchange_weak(seen, mine, mo::acquire, mo::relaxed)) return true;
    }
    if (since == 0) since = sched::platform::ticks();
    lock_waiter w(since);
    sched::waits_for_lock(w.who(), head_);
    w.prepare(sched::wait_reason::mutex);
    if (!enqueue(w, was_woken)) {
      sched::cancel_park(w.who());
      continue;
    }
    const std::uint32_t outcome = w.wait(deadline_ns);
    if (outcome == handed_over) return true;
    if (outcome == sched::waiter::timed_out) {
      leave(w);
      return false;
    }
    was_woken = true;
  }
}

// False: the mutex is free, and the waiter is in no list.
bool mutex::enqueue(sched::waiter& w, bool was_woken) noexcept {
  const sched::platform::lock_guard guard(head_.list_lock);
  std::uint32_t seen = head_.word.load(mo::relaxed);
  do {
    if ((seen & locked_bit) == 0) return false;
    // relaxed: the list is ordered by its lock, which the unlocker takes when it sees the bit.
  } while (!head_.word.compare_exchange_weak(seen, (seen | waiting_bit) & ~(was_woken ? woken_bit : 0U), mo::relaxed,
                                        mo::relaxed));
  if (was_woken) {
    waiters_.push_front(w);
  } else {
    waiters_.push_back(w);
  }
  return true;
}

void mutex::leave(sched::waiter& w) noexcept {
  const sched::platform::lock_guard guard(head_.list_lock);
  waiters_.remove(w);
  if (waiters_.empty()) head_.word.fetch_and(~waiting_bit, mo::relaxed);
}

void mutex::unlock_slow(std::uint32_t seen) noexcept {
  for (;;) {
    if ((seen & locked_bit) == 0) sched::fatal("unlock of a mutex that is not locked");
    if ((seen & waiting_bit) != 0 && (seen & woken_bit) == 0) break;
    // release: pairs with the acquire of the next lock(). Nothing of *this is touched after it.
    if (head_.word.compare_exchange_weak(seen, seen & ~(locked_bit | owned_bit), mo::release, mo::relaxed)) return;
  }

  sched::strand* heir = nullptr;
  bool hand_over = false;
  {
    const sched::platform::lock_guard guard(head_.list_lock);
    const std::uint64_t now = sched::platform::ticks();
    while (sched::waiter* const w = waiters_.pop_front()) {
      hand_over = starving(*w, now);
      if (w->claim(hand_over ? handed_over : sched::waiter::signalled)) {
        heir = w->who();
        break;
      }
    }
    // From here on the owner is another one, if it is still locked; relaxed: as owner we alone change these bits.
    head_.word.fetch_and(~(owned_bit | (waiters_.empty() ? waiting_bit : 0U)), mo::relaxed);
  }
  if (heir == nullptr) {
    // All had timed out. release: as above, and the last access.
    head_.word.fetch_and(~locked_bit, mo::release);
    return;
  }
  // release: pairs with the acquire of the next lock(). The last access. In a hand-over it was the
  // list's unlock; ready() publishes our writes to the heir.
  if (!hand_over) head_.word.fetch_xor(locked_bit | woken_bit, mo::release);
  sched::ready(heir);
}

}  // namespace baton
