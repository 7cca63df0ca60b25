// The counter and the bit "there are waiters" are one word.
//
//   count_down   CAS the new counter in, except from (n, waiting) to zero: first, under list_lock_, take
//                and claim all waiters and clear waiting; then try again. The claimed waiters are
//                readied after the CAS that makes zero.
//   wait         zero: return. Otherwise, under list_lock_, CAS waiting in, join the list, park.
//   time-out, or a context that is done
//                under list_lock_ leave the list; the last one out clears waiting.
//
// The waiters may be taken before the counter is zero because no other agent may count: the counter is exactly what
// this call takes off. An agent that comes to wait meanwhile sets waiting again, which the CAS notices.
//
// Destruction: the CAS to zero is the last access to the latch, so an agent that sees zero, with or without the lock,
// may destroy it. What follows touches waiters, whose agents are still inside wait().
#include <baton/runtime/latch.h>

#include <baton/runtime/detail/unless_done.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>

namespace baton {

namespace mo = sched::platform::mo;

void latch::out_of_range(std::ptrdiff_t n) noexcept { sched::fatal("latch: a counter of %td is out of range", n); }

void latch::count_down(std::ptrdiff_t n) noexcept {
  sched::waiter_list claimed;
  std::int64_t seen = word_.load(mo::relaxed);
  for (;;) {
    if (n < 0 || n > seen >> 1) sched::fatal("latch: count_down of %td with %td left", n, seen >> 1);
    if (n == seen >> 1 && (seen & waiting_bit) != 0) {
      take_waiters(claimed);
      seen = word_.load(mo::relaxed);
      // release: pairs with the acquire in try_wait(), through the chain of these CASes. acquire: the
      // CAS that makes zero passes on, by ready(), what all the others wrote.
    } else if (word_.compare_exchange_weak(seen, seen - n * one, mo::acq_rel, mo::relaxed)) {
      break;
    }
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

void latch::take_waiters(sched::waiter_list& claimed) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  while (sched::waiter* const w = waiters_.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
  word_.fetch_and(~waiting_bit, mo::relaxed);
}

bool latch::wait_deadline(std::int64_t deadline_ns) const noexcept {
  return wait_by([deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

absl::Status latch::wait(const context& ctx) const {
  return detail::unless_done(ctx, "wait for a latch", [this](const auto& wait) { return wait_by(wait); });
}

// `wait` waits for the outcome of a waiter that is in the list. Returns false if a deadline or a context ended it.
// Inline: a frame between a wait and the switch costs (waiter.h).
template <class Wait>
inline __attribute__((always_inline)) bool latch::wait_by(const Wait& wait) const {
  if (try_wait()) {
    sched::yield_if_due();
    return true;
  }
  sched::waiter w;
  if (!enqueue(w)) {
    sched::yield_if_due();
    return true;
  }
  if (wait(w) == sched::waiter::signalled) return true;
  const sched::platform::lock_guard guard(list_lock_);
  waiters_.remove(w);
  if (waiters_.empty()) word_.fetch_and(~waiting_bit, mo::relaxed);
  return false;
}

// Returns false if the counter is zero; the waiter is not prepared then, and in no list.
bool latch::enqueue(sched::waiter& w) const noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  std::int64_t seen = word_.load(mo::acquire);
  do {
    if (seen == 0) return false;  // acquire: pairs with count_down()
  } while ((seen & waiting_bit) == 0 &&
           !word_.compare_exchange_weak(seen, seen | waiting_bit, mo::relaxed, mo::acquire));
  w.prepare(sched::wait_reason::latch);
  waiters_.push_back(w);
  return true;
}

}  // namespace baton
