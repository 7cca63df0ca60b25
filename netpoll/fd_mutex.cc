// The protocol of the descriptor's lock.
//
//   lock(s)     closed: fail. Free: set the lock bit, count a reference. Held: count a waiter and, the
//               first time, a reference; take a ticket (wait), and start again from the top: the lock
//               is not handed over, whoever comes first has it, so a strand that runs never waits for
//               one that is only runnable.
//   unlock(s)   in one step: drop the lock bit and a reference and, if somebody waits, count a waiter
//               less; then give the ticket to that waiter.
//   close()     in one step: set closed, count a reference, set both waiter counts to 0; then give a
//               ticket to each that was counted. They come back to the top of lock(), and fail.
//
// Invariants:
//   - Each waiter that was counted is given exactly one ticket, by whoever took it off the count. So
//     tickets never accumulate, and none is missing.
//   - A waiter is counted only while the lock is held and the word is not closed: hence a holder who
//     is going to unlock, or a closer who is going to sweep.
//   - closed stays. References only fall once it is set, so exactly one release sees the last one go.
//   - Who queues holds a reference (there are never more waiters than references, so their count does
//     not overflow first). Hence the last reference goes only when everybody has left: after
//     await_drained() the owner may be destroyed, whoever was inside when it was closed.
//   - A ticket is given after the giver's own reference is gone, but its taker's keeps the queue alive.
#include <baton/netpoll/fd_mutex.h>

#include <baton/sched/fatal.h>

#include <initializer_list>

namespace baton::net {

void ticket_queue::take(sched::wait_reason why) noexcept {
  sched::waiter self;
  {
    sched::platform::lock_guard hold(lock_);
    if (tickets_ > 0) {
      --tickets_;
      return;
    }
    self.prepare(why);
    waiting_.push_back(self);
  }
  (void)self.wait();
}

void ticket_queue::give() noexcept {
  sched::strand* who = nullptr;
  {
    sched::platform::lock_guard hold(lock_);
    sched::waiter* const w = waiting_.claim_front(sched::waiter::signalled);
    if (w == nullptr) {
      ++tickets_;
    } else {
      who = w->who();
    }
  }
  if (who != nullptr) sched::ready(who);
}

fd_mutex::locked fd_mutex::lock_slow(side s) noexcept {
  bool holds_reference = false;  // since it has queued
  std::uint64_t old = word_.load(mo::relaxed);
  for (;;) {
    if ((old & closed_bit) != 0) return holds_reference ? locked::closed_held : locked::closed;
    if (!holds_reference && references(old) == count_max)
      sched::fatal("too many concurrent operations on a descriptor");
    const std::uint64_t with_reference = old + (holds_reference ? 0 : reference_one);
    if ((old & lock_bit(s)) == 0) {
      // acquire: as in lock().
      if (word_.compare_exchange_weak(old, with_reference | lock_bit(s), mo::acquire, mo::relaxed)) return locked::yes;
      continue;
    }
    if (!word_.compare_exchange_weak(old, with_reference + waiter_one(s), mo::relaxed, mo::relaxed)) continue;
    holds_reference = true;
    queue(s).take(sched::wait_reason::descriptor_lock);
    old = word_.load(mo::relaxed);
  }
}

fd_mutex::released fd_mutex::unlock_slow(side s) noexcept {
  std::uint64_t old = word_.load(mo::relaxed);
  for (;;) {
    if ((old & lock_bit(s)) == 0 || references(old) == 0) {
      sched::fatal("a descriptor is unlocked that is not locked");
    }
    std::uint64_t next = (old & ~lock_bit(s)) - reference_one;
    const bool somebody_waits = waiters(old, s) != 0;
    if (somebody_waits) next -= waiter_one(s);
    // acq_rel: as in unlock().
    if (!word_.compare_exchange_weak(old, next, mo::acq_rel, mo::relaxed)) continue;
    if (somebody_waits) queue(s).give();
    return is_last(old) ? released::last : released::in_use;
  }
}

bool fd_mutex::acquire() noexcept {
  std::uint64_t old = word_.load(mo::relaxed);
  for (;;) {
    if ((old & closed_bit) != 0) return false;
    if (references(old) == count_max) sched::fatal("too many concurrent operations on a descriptor");
    if (word_.compare_exchange_weak(old, old + reference_one, mo::acquire, mo::relaxed)) return true;
  }
}

fd_mutex::released fd_mutex::release() noexcept {
  // acq_rel: release for the holder of the last reference; acquire for the case that this is it.
  const std::uint64_t old = word_.fetch_sub(reference_one, mo::acq_rel);
  if (references(old) == 0) sched::fatal("a descriptor is released that is not held");
  return is_last(old) ? released::last : released::in_use;
}

bool fd_mutex::close() noexcept {
  std::uint64_t old = word_.load(mo::relaxed);
  for (;;) {
    if ((old & closed_bit) != 0) return false;
    if (references(old) == count_max) sched::fatal("too many concurrent operations on a descriptor");
    constexpr std::uint64_t both_counts = (count_max << 23) | (count_max << 43);
    const std::uint64_t next = ((old | closed_bit) + reference_one) & ~both_counts;
    if (word_.compare_exchange_weak(old, next, mo::acq_rel, mo::relaxed)) break;
  }
  for (const side s : {side::read, side::write}) {
    for (std::uint64_t n = waiters(old, s); n > 0; --n) queue(s).give();
  }
  return true;
}

}  // namespace baton::net
