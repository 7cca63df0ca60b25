// The counter and the bit "there are waiters" are one word, so that the done() that makes zero knows whether it has to
// wake a waiter without a second access to the group.
//
//   add, done   CAS the new counter in, except from (c, waiting) to zero: that one step is made under
//               list_lock_, together with taking the list: CAS (c, waiting) -> (0, no waiter), unlock,
//               ready the waiters.
//   wait        always under list_lock_: zero: return. Otherwise CAS waiting in, join the list, park.
//   time-out, or a context that is done
//               under list_lock_ leave the list; the last one out clears waiting.
//
// waiting is set and cleared under list_lock_ only, and never stands beside a counter of zero. So no waiter is
// overlooked: a done() that makes zero without the lock has seen, in its CAS, that there is no waiter.
//
// Destruction: a done() that makes zero without waiters ends with that CAS. A done() with waiters still has to unlock
// the list when zero can be seen. A wait() that comes at that moment takes the same lock before it reads the counter,
// so it cannot return (and let the group be destroyed) earlier. That is why wait() has no way past the lock. Unlocking
// is one exchange; after it only the lock's address is used. The agents that are readied then are still inside wait(),
// and their waiters with them.
//
// Rejected: counter and list head in one word (20 bits for the counter); a counter and an event (an add() from zero
// could overtake the set() of the done() before it).
#include <baton/runtime/wait_group.h>

#include <baton/runtime/detail/unless_done.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>

#include <limits>

namespace baton {

namespace mo = sched::platform::mo;

void wait_group::add(int n) noexcept {
  std::int64_t seen = word_.load(mo::relaxed);
  for (;;) {
    const std::int64_t count = (seen >> 1) + n;
    if (count < 0) sched::fatal("wait_group: more done() than add()");
    if (count > std::numeric_limits<std::int32_t>::max()) {
      sched::fatal("wait_group: the counter overflows");
    }
    if (count == 0 && (seen & waiting_bit) != 0) return release_waiters(n);
    // release: pairs with the acquire in wait(), through the chain of these CASes. acquire: the CAS that makes zero
    // passes on, by ready(), what all the others wrote.
    if (word_.compare_exchange_weak(seen, seen + n * one, mo::acq_rel, mo::relaxed)) return;
  }
}

// Handles the case that, a moment ago, there was a waiter and adding n made zero.
void wait_group::release_waiters(std::int64_t n) noexcept {
  sched::waiter_list claimed;
  {
    const sched::platform::lock_guard guard(list_lock_);
    std::int64_t seen = word_.load(mo::relaxed);
    for (;;) {
      const std::int64_t count = (seen >> 1) + n;
      if (count < 0) sched::fatal("wait_group: more done() than add()");
      const std::int64_t next = count == 0 ? 0 : seen + n * one;
      // acq_rel: as in add().
      if (word_.compare_exchange_weak(seen, next, mo::acq_rel, mo::relaxed)) {
        if (count != 0) return;  // another agent has added meanwhile
        break;
      }
    }
    while (sched::waiter* const w = waiters_.pop_front()) {
      if (w->claim(sched::waiter::signalled)) claimed.push_back(*w);
    }
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

bool wait_group::wait_deadline(std::int64_t deadline_ns) noexcept {
  return wait_by([deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

absl::Status wait_group::wait(const context& ctx) {
  return detail::unless_done(ctx, "wait for a wait_group", [this](const auto& wait) { return wait_by(wait); });
}

// `wait` waits for the outcome of a waiter that is in the list. Returns false if a deadline or a context ended it.
// Inline: a frame between a wait and the switch costs (waiter.h).
template <class Wait>
inline __attribute__((always_inline)) bool wait_group::wait_by(const Wait& wait) {
  sched::waiter w;
  if (!enqueue(w)) {
    sched::yield_if_due();
    return true;
  }
  if (wait(w) == sched::waiter::signalled) return true;
  leave(w);
  return false;
}

// Returns false if the counter is zero; the waiter is not prepared then, and in no list.
bool wait_group::enqueue(sched::waiter& w) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  std::int64_t seen = word_.load(mo::acquire);  // acquire: pairs with add()
  do {
    if (seen == 0) return false;
  } while ((seen & waiting_bit) == 0 &&
           !word_.compare_exchange_weak(seen, seen | waiting_bit, mo::relaxed, mo::acquire));
  w.prepare(sched::wait_reason::wait_group);
  waiters_.push_back(w);
  return true;
}

void wait_group::leave(sched::waiter& w) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  waiters_.remove(w);
  if (waiters_.empty()) word_.fetch_and(~waiting_bit, mo::relaxed);
}

}  // namespace baton
