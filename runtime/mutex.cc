// The word (mutex.h) has the number of holds, and the marks `waiting`, `woken`, and `owned` (lock_head.h). It is 0 if
// the mutex is free and there is no waiter. An owner has one hold while there is no mark, else two. So unlock()
// subtracts one, whatever the word is. It leaves 0, and the mutex is free; or it leaves a mark and one hold, and the
// mutex is still owned by the agent that is about to free it in unlock_slow(). A mark that is set in an owned mutex
// without marks adds the second hold. Clearing the last mark removes that hold, if it has not been given up yet.
//
//   lock      1. CAS 0 -> one hold. It also fails if the slice of any fiber is over (slice_notice.h); then handle
//                that.
//             2. No holds, but waiters: barge in, CAS + two holds. (A waiter that was woken, and
//                takes it, clears woken.)
//             3. Held: under list_lock, CAS + waiting while it is held; join the list; wait.
//                Woken: go to 2, and join the list at its front if another agent was faster. Handed over:
//                done; the mutex was never free.
//   unlock    1. - one hold. Nothing is left: done.
//             2. There is no waiter, or a woken waiter competes already: CAS no holds.
//             3. Under list_lock, still as the owner: claim the first waiter, and clear waiting if it
//                was the last. If the waiter is old enough it now owns the mutex: its holds are set there;
//                unlock the list, ready it. Otherwise unlock the list, swap holds for woken, then ready it.
//                If no waiter could be claimed, because the time of all was up: from 2 again.
//
// No wake is lost. waiting is set only while there are holds, under list_lock, so the owner that unlocks later sees it.
// When that owner leaves the waiters alone because of woken, the woken waiter will either own the mutex (and unlock
// it), or join the list again, which clears woken while the mutex is held. Only an owner sets woken, and only if it is
// not set, so at most one waiter competes.
//
// Destruction: the step that frees the mutex is the last access to it, in each path of unlock. In the hand-over the
// last access is unlocking the list, and the mutex stays held until the heir runs. (spin_lock's unlock is one exchange;
// after it only the address is used.) What follows touches the waiter, whose agent is still inside lock().
//
// Fairness: barging saves a switch for each lock of a contended mutex. The age of the first waiter bounds it: 1 ms
// after the waiter came, the next unlock that checks hands the mutex over. When that happens the waiters behind it are
// about as old, so the queue is served once in order.
//
// Rejected: handing over always (a convoy: a switch for each lock); a separate starvation mode, as in Go (its flag says
// no more than the age of the first waiter).
#include <baton/runtime/mutex.h>

#include <baton/runtime/detail/unless_done.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/spawn.h>

namespace baton {

namespace mo = sched::platform::mo;

namespace {

constexpr std::int64_t starving_after_ns = 1'000'000;
constexpr std::uint32_t handed_over = sched::waiter::first_free;

struct lock_waiter : sched::waiter {
  explicit lock_waiter(std::uint64_t ticks) noexcept : since(ticks) {}
  const std::uint64_t since;  // when it came first; kept when it is woken and finds the mutex taken
};

bool starving(const sched::waiter& w, std::uint64_t now) noexcept {
  return now - static_cast<const lock_waiter&>(w).since >= sched::platform::ticks_of_ns(starving_after_ns);
}

}  // namespace

// `wait` waits for the outcome of a waiter that is in the list. Returns false if a deadline or a context ended it.
template <class Wait>
bool mutex::wait_for_turn(const Wait& wait) {
  bool was_woken = false;
  std::uint64_t since = 0;
  // A fiber that always finds the mutex free, or free past its waiters, must not keep its P for ever.
  sched::yield_if_due();
  for (;;) {
    std::uint32_t seen = head_.word.load(mo::relaxed);
    while ((seen & holds) == 0) {
      const std::uint32_t mine = taken(seen & ~(was_woken ? woken_bit : 0U));
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
    const std::uint32_t outcome = wait(w);
    if (outcome == handed_over) return true;
    if (outcome != sched::waiter::signalled) {
      leave(w);
      return false;
    }
    was_woken = true;
  }
}

bool mutex::lock_slow(std::int64_t deadline_ns) noexcept {
  return wait_for_turn([deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

absl::Status mutex::lock_unless_done(const context& ctx) {
  return detail::unless_done(ctx, "lock of a mutex",
                             [this](const auto& wait) { return try_at_first() || wait_for_turn(wait); });
}

// Returns false if the mutex is free; the waiter is in no list then.
bool mutex::enqueue(sched::waiter& w, bool was_woken) noexcept {
  const sched::platform::lock_guard guard(head_.list_lock);
  std::uint32_t seen = head_.word.load(mo::relaxed);
  std::uint32_t next = 0;
  do {
    if ((seen & holds) == 0) return false;
    next = (seen | waiting_bit) & ~(was_woken ? woken_bit : 0U);
    if ((seen & marks) == 0) next += one_hold;
    // relaxed: the list is ordered by its lock, which the unlocker takes when it sees the bit.
  } while (!head_.word.compare_exchange_weak(seen, next, mo::relaxed, mo::relaxed));
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
  if (!waiters_.empty()) return;
  std::uint32_t seen = head_.word.load(mo::relaxed);
  std::uint32_t next = 0;
  do {
    if ((seen & waiting_bit) == 0) return;
    next = seen & ~waiting_bit;
    if ((next & marks) == 0 && (next & holds) == 2 * one_hold) next -= one_hold;
  } while (!head_.word.compare_exchange_weak(seen, next, mo::relaxed, mo::relaxed));
}

void mutex::write_owner() noexcept {
  head_.owner.store(sched::current_fiber_id(), mo::relaxed);
  std::uint32_t seen = head_.word.load(mo::relaxed);
  // relaxed: a report reads the owner while that sleeps, or is wrong for a moment.
  while (!head_.word.compare_exchange_weak(seen, (seen | owned_bit) + ((seen & marks) == 0 ? one_hold : 0), mo::relaxed,
                                           mo::relaxed)) {
  }
}

// Requires: the caller has given up one hold.
void mutex::unlock_slow() noexcept {
  for (;;) {
    std::uint32_t seen = head_.word.load(mo::relaxed);
    if ((seen & holds) == 0 || (seen & holds) == holds) sched::fatal("unlock of a mutex that is not locked");
    while ((seen & waiting_bit) == 0 || (seen & woken_bit) != 0) {
      // release: pairs with the acquire of the next lock(). Nothing of *this is touched after it.
      if (head_.word.compare_exchange_weak(seen, seen & ~(holds | owned_bit), mo::release, mo::relaxed)) return;
    }
    if (wake_first()) return;
  }
}

// Returns false if no waiter could be woken; the mutex still belongs to the caller then.
bool mutex::wake_first() noexcept {
  sched::agent* heir = nullptr;
  bool hand_over = false;
  std::uint32_t seen = 0;
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
    // No other agent changes the word of a held mutex without list_lock.
    seen = head_.word.load(mo::relaxed) & ~(owned_bit | (waiters_.empty() ? waiting_bit : 0U));
    if (heir != nullptr && hand_over) seen = taken(seen);
    // release: pairs with the acquire of later owners, as in the other paths.
    head_.word.store(seen, mo::release);
    if (heir == nullptr) return false;
  }
  // release: pairs with the acquire of the next lock(). The last access. In a hand-over the last access was the list's
  // unlock; ready() publishes this agent's writes to the heir.
  while (!hand_over && !head_.word.compare_exchange_weak(seen, (seen & ~holds) | woken_bit, mo::release, mo::relaxed)) {
  }
  sched::ready(heir);
  return true;
}

}  // namespace baton
