// Children are detached fibers, and a number under a lock.
//
//   spawn     room below the limit: count, start the fiber. Otherwise join the waiters for room, and subscribe
//             to the context; the agent that wakes this one because there is room has counted its child. Woken
//             because the group was cancelled: leave the list, and count the child, limit or not. The time is over:
//             leave the list. No memory: count back, as if the child had ended.
//   child     call; note the first failure and cancel; destroy the function, and the fiber's locals; count
//             back.
//   count     under the lock: one less. If that makes room for a waiter for room: count and claim it. If no
//   back      child runs: claim all waiters for the end. After the lock ready them.
//   wait      under the lock: no child runs: return. Otherwise join the list, park.
//   time-out  under the lock leave the list.
//
// An agent waits for room only while children run, so the number is zero only if there is no waiter for room, or the
// waiters for room have been woken by a cancel.
//
// Destruction: the child's last access to the group is the lock's unlock (one exchange; after it only the lock's
// address is used), and wait() reads the number under the lock. A child that still counts notes a failure, and cancels
// the context.
//
// No memory: the group still cancels and ends. Only a message is lost (cancelled_because).
#include <baton/runtime/task_group.h>

#include <baton/runtime/detail/done_link.h>
#include <baton/runtime/detail/errors.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/spawn.h>

#include <cstdio>
#include <new>

namespace baton {

namespace platform = sched::platform;

namespace {

// A status keeps its message on the heap; one without needs none.
absl::Status cancelled_because(const char* why) noexcept {
  try {
    return absl::CancelledError(why);
  } catch (const std::bad_alloc&) {
    return absl::CancelledError();
  }
}

}  // namespace

task_group::~task_group() {
  ctx_.cancel(cancelled_because("the task group has ended"));
  // At exit, children that run were stopped where they are. They no longer touch the group.
  const bool ended = wait_deadline(sched::exits_here() ? 0 : platform::forever_ns);
  if (!ended && !sched::destructor_may_wait("a task group leaves its children as they are")) return;
  {
    // No child runs any more, but the last one may not have left the lock yet.
    const platform::lock_guard hold(lock_);
    if (exception_ == nullptr || thrown_) return;
  }
  char what[256];
  detail::describe_exception(exception_, what, sizeof what);
  sched::warn("task_group: nobody waited for the exception of a child: %s", what);
}

absl::Status task_group::wait() {
  static_cast<void>(wait_deadline(platform::forever_ns));
  absl::Status status;
  std::exception_ptr exception;
  {
    const platform::lock_guard hold(lock_);
    status = status_;
    exception = exception_;
    // Not for nothing: a child that throws later is still to be reported.
    if (exception != nullptr) thrown_ = true;
  }
  if (exception != nullptr) std::rethrow_exception(exception);
  return status;
}

bool task_group::wait_deadline(std::int64_t deadline_ns) noexcept {
  sched::waiter w;
  if (!enqueue(w)) {
    sched::yield_if_due();
    return true;
  }
  if (w.wait(deadline_ns) != sched::waiter::timed_out) return true;
  const platform::lock_guard hold(lock_);
  waiting_for_end_.remove(w);
  return false;
}

// Returns false if no child runs; the waiter is not prepared then, and in no list.
bool task_group::enqueue(sched::waiter& w) noexcept {
  const platform::lock_guard hold(lock_);
  if (running_ == 0) return false;
  w.prepare(sched::wait_reason::task_group);
  waiting_for_end_.push_back(w);
  return true;
}

bool task_group::begin_child(std::int64_t deadline_ns) {
  if (counted(ctx_.is_done())) return true;
  if (deadline_ns == 0) return false;
  sched::waiter w;
  if (!enqueue_for_room(w)) return true;
  // From here on an agent that cancels may claim the waiter.
  detail::done_link link(w, sched::waiter::cancelled, ctx_.as_cancellation());
  const bool subscribed = link.subscribe();
  if (!subscribed) w.wake(sched::waiter::cancelled);
  const std::uint32_t outcome = w.wait(deadline_ns);
  if (subscribed) link.unsubscribe();
  if (outcome == sched::waiter::signalled) return true;
  {
    const platform::lock_guard hold(lock_);
    waiting_for_room_.remove(w);
  }
  return counted(outcome == sched::waiter::cancelled);
}

// Returns false if there is no room; the child is not counted then.
bool task_group::counted(bool anyway) noexcept {
  const platform::lock_guard hold(lock_);
  if (running_ >= limit_ && !anyway) return false;
  ++running_;
  return true;
}

// False: there is room, the child is counted, and the waiter is not prepared and in no list.
bool task_group::enqueue_for_room(sched::waiter& w) noexcept {
  const platform::lock_guard hold(lock_);
  if (running_ < limit_) {
    ++running_;
    return false;
  }
  w.prepare(sched::wait_reason::task_group_room);
  waiting_for_room_.push_back(w);
  return true;
}

void task_group::let_in(sched::waiter_list& claimed) noexcept {
  while (running_ < limit_) {
    sched::waiter* const w = waiting_for_room_.claim_front(sched::waiter::signalled);
    if (w == nullptr) return;
    claimed.push_back(*w);
    ++running_;
  }
}

void task_group::end_locals() noexcept {
  void** const locals = sched::current_fiber_locals();
  if (*locals != nullptr) static_cast<sched::fiber_locals*>(*locals)->end(locals);
}

void task_group::child_ended() noexcept {
  sched::waiter_list claimed;
  {
    const platform::lock_guard hold(lock_);
    --running_;
    let_in(claimed);
    if (running_ == 0) {
      while (sched::waiter* const w = waiting_for_end_.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
    }
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

void task_group::set_limit(int children) {
  if (children == 0) sched::fatal("task_group: a limit of 0");
  sched::waiter_list claimed;
  {
    const platform::lock_guard hold(lock_);
    limit_ = children < 0 ? SIZE_MAX : static_cast<std::size_t>(children);
    let_in(claimed);
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

void task_group::failed(absl::Status status, std::exception_ptr exception) noexcept {
  {
    const platform::lock_guard hold(lock_);
    if (failed_) return;
    failed_ = true;
    status_ = status;
    exception_ = exception;
  }
  if (exception == nullptr) {
    ctx_.cancel(std::move(status));
    return;
  }
  char what[256];
  detail::describe_exception(exception, what, sizeof what);
  char why[300];
  std::snprintf(why, sizeof why, "a task of the group threw: %s", what);
  ctx_.cancel(cancelled_because(why));
}

}  // namespace baton
