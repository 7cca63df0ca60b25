// Everything is under one lock.
//
//   arrive     takes n off the missing. If that makes zero, the caller runs the completion function, without
//              the lock, and then
//   complete   begins the next phase: its number, its missing; takes and claims all waiters, unlocks,
//              readies them.
//   wait       the phase is over: return. Otherwise join the list, park.
//   time-out, or a context that is done
//              under the lock leave the list.
//
// While the completion function runs no arrival is missing, so an arrival at that time is one too many, and aborts. An
// agent that arrived before may still come to wait, and finds the old phase.
//
// Destruction: the end of a phase is seen only under the lock, and complete() has unlocked it by then (one exchange;
// after it only the lock's address is used). What follows touches waiters, whose agents are still inside wait().
#include <baton/runtime/barrier.h>

#include <baton/runtime/detail/unless_done.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>

namespace baton::detail {

namespace platform = sched::platform;

void barrier_core::out_of_range(std::ptrdiff_t n) noexcept { sched::fatal("barrier: %td participants", n); }

bool barrier_core::arrive(std::ptrdiff_t n, bool drop, std::uint64_t* phase) noexcept {
  const platform::lock_guard guard(lock_);
  if (n < 1 || n > missing_) sched::fatal("barrier: %td arrive where %td are missing", n, missing_);
  if (drop) expected_ -= n;
  missing_ -= n;
  *phase = phase_;
  return missing_ == 0;
}

void barrier_core::complete() noexcept {
  sched::waiter_list claimed;
  {
    const platform::lock_guard guard(lock_);
    ++phase_;
    missing_ = expected_;
    while (sched::waiter* const w = waiters_.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

bool barrier_core::wait(std::uint64_t phase, std::int64_t deadline_ns) noexcept {
  return wait_by(phase, [deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

absl::Status barrier_core::wait(std::uint64_t phase, const context& ctx) {
  return unless_done(ctx, "wait for a barrier", [&](const auto& wait) { return wait_by(phase, wait); });
}

// `wait` waits for the outcome of a waiter that is in the list. Returns false if a deadline or a context ended it.
// Inline: a frame between a wait and the switch costs (waiter.h).
template <class Wait>
inline __attribute__((always_inline)) bool barrier_core::wait_by(std::uint64_t phase, const Wait& wait) {
  sched::waiter w;
  if (!enqueue(w, phase)) {
    sched::yield_if_due();
    return true;
  }
  if (wait(w) == sched::waiter::signalled) return true;
  const platform::lock_guard guard(lock_);
  waiters_.remove(w);
  return false;
}

// Returns false if that phase is over; the waiter is not prepared then, and in no list.
bool barrier_core::enqueue(sched::waiter& w, std::uint64_t phase) noexcept {
  const platform::lock_guard guard(lock_);
  if (phase_ != phase) return false;
  w.prepare(sched::wait_reason::barrier);
  waiters_.push_back(w);
  return true;
}

}  // namespace baton::detail
