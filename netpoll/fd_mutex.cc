// The protocol of the descriptor's lock.
//
//   lock(s)     If the word is closed, fail. If the lock is free, set the lock bit and count a reference. If it is
//               held, count a waiter and, the first time, a reference; take a ticket (wait), and start again from the
//               top. unlock() does not hand the lock to a waiter: the first agent that tries takes it. So an agent that
//               runs never waits
//               for one that is only runnable.
//   unlock(s)   In one step: drop the lock bit and a reference and, if an agent waits, take a waiter off the count.
//               Then give the ticket to that waiter.
//   close()     In one step: set closed, and set both waiter counts to 0. Then give a ticket to each waiter that was
//               counted. The waiters come back to the top of lock(), and fail.
//
// Once closed is set, references are given back under the lock `closing_`, and the first close(), the closer, does the
// following:
//   await_users   Under closing_: if references are left besides those of the other closes, wait. The agent after whose
//                 change only the other close() calls hold references wakes the closer.
//   end()         Gives up the number of the descriptor. Only close() calls are inside by then, and they do not use the
//   number.
//   finish        1. Under closing_: take the list of the other closes.
//                 2. In one step, if the references are exactly theirs: set finished, references 0. Otherwise one more
//                    close() has come: put the list back, await_users, and start again from 1.
//                 3. Ready the closes of the list.
// Another close(): if finished is set, return. Otherwise take a reference; under closing_ join the list, and wake the
// closer if it waits and all references are now closes; wait.
//
// Invariants:
//   - The agent that takes a waiter off the count gives that waiter exactly one ticket. So tickets
//     never accumulate, and none is missing.
//   - A waiter is counted only while the lock is held and the word is not closed. Hence there is a holder that will
//     unlock, or a closer that will clear the counts.
//   - closed stays. Once it is set, only closes take references.
//   - A queueing agent holds a reference. (There are never more waiters than references, so the waiters' count does not
//     overflow first.) A ticket is given after the giver's own reference is gone, but the taker's reference keeps the
//     queue alive.
//   - finished is set once, when every agent that has touched the word has left, or is a close() that waits in a list
//     which the closer has already taken out of the object. So after that step no agent touches the object: whichever
//     close() returns first, its caller may destroy the owner.
//   - The closer waits for users only if sched::destructor_may_wait() (sched/lifecycle.h) returns true. If that returns
//     false, the word stays closed and not finished for ever.
#include <baton/netpoll/fd_mutex.h>

#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>

#include <initializer_list>
#include <utility>

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
  sched::agent* who = nullptr;
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
  bool holds_reference = false;  // true once it has queued
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

void fd_mutex::unlock_slow(side s) noexcept {
  std::uint64_t old = word_.load(mo::relaxed);
  for (;;) {
    if ((old & lock_bit(s)) == 0 || references(old) == 0) {
      sched::fatal("a descriptor is unlocked that is not locked");
    }
    if ((old & closed_bit) != 0) return leave_closed(lock_bit(s));
    std::uint64_t next = (old & ~lock_bit(s)) - reference_one;
    const bool somebody_waits = waiters(old, s) != 0;
    if (somebody_waits) next -= waiter_one(s);
    // release: as in unlock().
    if (!word_.compare_exchange_weak(old, next, mo::release, mo::relaxed)) continue;
    if (somebody_waits) queue(s).give();
    return;
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

void fd_mutex::release() noexcept {
  std::uint64_t old = word_.load(mo::relaxed);
  for (;;) {
    if (references(old) == 0) sched::fatal("a descriptor is released that is not held");
    if ((old & closed_bit) != 0) return leave_closed(0);
    // release: as in unlock().
    if (word_.compare_exchange_weak(old, old - reference_one, mo::release, mo::relaxed)) return;
  }
}

void fd_mutex::leave_closed(std::uint64_t lock_bits) noexcept {
  sched::agent* closer = nullptr;
  {
    sched::platform::lock_guard hold(closing_);
    // relaxed: the closer looks under the lock.
    word_.fetch_sub(reference_one + lock_bits, mo::relaxed);
    closer = closer_to_wake();
  }
  if (closer != nullptr) sched::ready(closer);
}

// Returns null if the closer does not wait, or a user is still inside.
sched::agent* fd_mutex::closer_to_wake() noexcept {
  // relaxed, as in leave_closed().
  if (closer_ == nullptr || references(word_.load(mo::relaxed)) != others_count_) return nullptr;
  sched::waiter* const w = closer_;
  closer_ = nullptr;
  return w->claim(sched::waiter::signalled) ? w->who() : nullptr;
}

bool fd_mutex::close_begin() noexcept {
  std::uint64_t old = word_.load(mo::relaxed);
  for (;;) {
    if ((old & closed_bit) != 0) return false;
    constexpr std::uint64_t both_counts = (count_max << 23) | (count_max << 43);
    const std::uint64_t next = (old | closed_bit) & ~both_counts;
    // acquire: pairs with the release in unlock() and release() of the users that have left already.
    if (word_.compare_exchange_weak(old, next, mo::acq_rel, mo::relaxed)) break;
  }
  for (const side s : {side::read, side::write}) {
    for (std::uint64_t n = waiters(old, s); n > 0; --n) queue(s).give();
  }
  return true;
}

bool fd_mutex::await_users() noexcept {
  sched::waiter self;
  {
    sched::platform::lock_guard hold(closing_);
    // relaxed: users that leave a closed word do so under this lock.
    if (references(word_.load(mo::relaxed)) == others_count_) return true;
    if (!sched::destructor_may_wait("a descriptor is left to those who use it")) return false;
    self.prepare(sched::wait_reason::descriptor_lock);
    closer_ = &self;
  }
  self.wait();
  return true;
}

bool fd_mutex::finish() noexcept {
  for (;;) {
    sched::waiter_list taken;
    std::uint64_t count = 0;
    {
      sched::platform::lock_guard hold(closing_);
      std::swap(taken, others_);
      count = others_count_;
    }
    std::uint64_t expected = closed_bit + count * reference_one;
    // release: a thread that sees `finished` sees that the number is given up. acquire: the former users have left.
    if (word_.compare_exchange_strong(expected, closed_bit | finished_bit, mo::acq_rel, mo::relaxed)) {
      while (sched::waiter* const w = taken.pop_front()) {
        if (w->claim(sched::waiter::signalled)) sched::ready(w->who());
      }
      return true;
    }
    {
      sched::platform::lock_guard hold(closing_);
      while (sched::waiter* const w = others_.pop_front()) taken.push_back(*w);
      others_ = taken;
    }
    if (!await_users()) return false;
  }
}

bool fd_mutex::await_finished() noexcept {
  std::uint64_t old = word_.load(mo::acquire);  // pairs with the release in finish()
  do {
    if ((old & finished_bit) != 0) return true;
    if (!sched::destructor_may_wait("a descriptor is left to those who use it")) return false;
    if (references(old) == count_max) sched::fatal("too many concurrent operations on a descriptor");
  } while (!word_.compare_exchange_weak(old, old + reference_one, mo::acquire, mo::acquire));
  sched::waiter self;
  sched::agent* closer = nullptr;
  {
    sched::platform::lock_guard hold(closing_);
    self.prepare(sched::wait_reason::descriptor_lock);
    others_.push_back(self);
    ++others_count_;
    closer = closer_to_wake();
  }
  if (closer != nullptr) sched::ready(closer);
  self.wait();
  return true;
}

}  // namespace baton::net
