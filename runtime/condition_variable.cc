// A FIFO of waiters under a lock.
//
//   wait      join the list, then unlock the mutex: whoever changes the condition afterwards finds us
//   notify    under the lock take waiters off and claim them; after the lock ready them. A claimed
//             waiter stays where it is until it is readied, so the list of those to be readied is
//             made of the waiters themselves
//   time-out  the waiter claims itself, and takes itself off the list under the lock
//
// Destruction: the notifier's last access is the unlock, before the first ready(); a notified waiter
// touches its mutex and its own stack only.
#include <baton/runtime/condition_variable.h>

#include <baton/sched/fatal.h>
#include <baton/sched/park.h>

namespace baton {

namespace mo = sched::platform::mo;

std::cv_status condition_variable::wait_deadline(std::unique_lock<mutex>& lock, std::int64_t deadline_ns) {
  if (!lock.owns_lock()) sched::fatal("wait on a condition_variable without holding the mutex");
  sched::waiter w;
  w.prepare(sched::wait_reason::condition_variable);
  {
    const sched::platform::lock_guard guard(list_lock_);
    waiters_.push_back(w);
    waiting_.store(waiting_.load(mo::relaxed) + 1, mo::relaxed);
  }
  lock.unlock();
  const bool timed_out = w.wait(deadline_ns) == sched::waiter::timed_out;
  if (timed_out) {
    const sched::platform::lock_guard guard(list_lock_);
    if (waiters_.contains(w)) {
      waiters_.remove(w);
      waiting_.store(waiting_.load(mo::relaxed) - 1, mo::relaxed);
    }
  }
  lock.lock();
  return timed_out ? std::cv_status::timeout : std::cv_status::no_timeout;
}

void condition_variable::notify_one_slow() noexcept {
  sched::strand* who = nullptr;
  {
    const sched::platform::lock_guard guard(list_lock_);
    while (sched::waiter* const w = waiters_.pop_front()) {
      waiting_.store(waiting_.load(mo::relaxed) - 1, mo::relaxed);
      if (w->claim(sched::waiter::signalled)) {
        who = w->who();
        break;
      }
    }
  }
  if (who != nullptr) sched::ready(who);
}

void condition_variable::notify_all_slow() noexcept {
  sched::waiter_list claimed;
  {
    const sched::platform::lock_guard guard(list_lock_);
    while (sched::waiter* const w = waiters_.pop_front()) {
      if (w->claim(sched::waiter::signalled)) claimed.push_back(*w);
    }
    waiting_.store(0, mo::relaxed);
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

}  // namespace baton
