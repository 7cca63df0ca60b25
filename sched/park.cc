// Parking, readying, yielding: see park.h for the contract and park_word.h for the word.
//
// The numbered life of one park of a fiber:
//   1. prepare_park: the word says parking. The fiber publishes itself to a waker.
//   2. park: if the word says woken already, there is no switch at all.
//   3. Otherwise the fiber leaves its stack for the next runnable one (or for the native context), and the arriving
//      side commits: parking -> parked. If that fails, the fiber was woken in between, and the arriving side queues it
//      at once: nothing else will.
//   4. ready: parked -> running, and queue. The waker cannot have queued it before 3, so no M runs a fiber that is
//      still on its stack.
// No lock is held across the switch.
#include <baton/sched/park.h>

#include <baton/sched/declared_call.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/switch.h>
#include <baton/sched/this_machine.h>
#include <baton/sched/thread_lock.h>
#include <baton/sched/timer.h>
#include <baton/sched/waiter.h>

#include <sched.h>
#include <new>

namespace baton::sched {

namespace {

// After-actions.

void commit_park(machine* m, void* arg) noexcept {
  auto* const f = static_cast<fiber*>(arg);
  if (f->word.commit()) return;
  if (trace::on()) trace::record(m, {.what = trace::kind::unpark, .subject = f->id});
  make_runnable(m, f);
}

void requeue_local(machine* m, void* arg) noexcept {
  auto* const f = static_cast<fiber*>(arg);
  processor* const p = m->my_p();
  if (p == nullptr) {
    make_runnable(m, f);
    return;
  }
  if (__builtin_expect(goes_global(p), 0)) {
    the_scheduler.global.push(f);
  } else {
    push_local(p, f);
  }
  if (the_scheduler.procs.load(mo::relaxed) > 1) wake_for_work();
}

void requeue_global(machine*, void* arg) noexcept {
  the_scheduler.global.push(static_cast<fiber*>(arg));
  wake_for_work();
}

// Leaves the fiber's stack for the next fiber of P p, or for the native context if there is none, or no P. Returns the
// M that the fiber is on when it runs again.
inline machine* switch_away(machine* m, processor* p, fiber* from, after_action action, void* arg) noexcept {
  if (__builtin_expect(p != nullptr, 1)) {
    if (fiber* const next = pick(m, p)) return switch_to(m, from, next, action, arg);
  }
  return switch_to_native(m, from, action, arg);
}

// The same, recorded: the fiber's own event has been, and the next fiber's comes before the switch.
__attribute__((noinline)) machine* switch_away_traced(machine* m, processor* p, fiber* from, after_action action,
                                                      void* arg) noexcept {
  if (p != nullptr) {
    if (fiber* const next = pick(m, p)) {
      trace::run(m, next);
      return switch_to(m, from, next, action, arg);
    }
  }
  return switch_to_native(m, from, action, arg);
}

// park(), where the M has a notice.
__attribute__((noinline)) machine* park_noticed(machine* m, fiber* f) noexcept {
  processor* const p = give_way(m);
  if (!m->baton.is_traced()) return switch_away(m, p, f, commit_park, f);
  trace::park(m, f);
  return switch_away_traced(m, p, f, commit_park, f);
}

// yield(), recorded.
__attribute__((noinline)) machine* yield_traced(machine* m, processor* p, fiber* self, bool slice_was_over) noexcept {
  const trace::point yields{.what = trace::kind::yield, .detail = slice_was_over, .subject = self->id};
  fiber* next = nullptr;
  if (p != nullptr) {
    next = pick(m, p);
    if (next == nullptr && m->my_p() != nullptr) return m;  // no other fiber waits
  }
  trace::record(m, yields, p);
  if (next == nullptr) return switch_to_native(m, self, requeue_global, self);
  trace::run(m, next);
  return switch_to(m, self, next, requeue_local, self);
}

// For a plain thread that is about to sleep. If it is an M inside a declared call, it may still have a P.
void before_sleep() noexcept {
  if (machine* const m = this_machine()) hand_over_within_call(m);
}

void park_thread(agent* self) noexcept {
  if (!self->word.commit()) return;  // woken already
  before_sleep();
  constexpr std::int64_t patience_ns = 1'000'000'000;
  std::int64_t until = exits_here() ? platform::now_ns() + patience_ns : platform::forever_ns;
  // acquire: pairs with the release in wake_thread().
  while (self->word.futex().load(mo::acquire) == park_word::parked) {
    if (platform::futex_wait(self->word.futex(), park_word::parked, until)) continue;
    say_frozen("what a destructor waits for may never come");
    until = platform::forever_ns;
  }
}

// The thread may be gone as soon as the word has changed: after that only the address of the word is used.
void wake_thread(agent* who) noexcept {
  platform::atomic<std::uint32_t>& word = who->word.futex();
  std::uint32_t seen = word.load(mo::relaxed);
  for (;;) {
    if (seen != park_word::parking && seen != park_word::parked) {
      fatal("a thread was readied twice for one wait");
    }
    const bool sleeps = seen == park_word::parked;
    const std::uint32_t next = sleeps ? park_word::running : park_word::woken;
    if (word.compare_exchange_weak(seen, next, mo::acq_rel, mo::relaxed)) {
      if (sleeps) platform::futex_wake(&word, 1);
      return;
    }
  }
}

// Returns true if the caller has to queue the fiber.
bool wake_fiber(fiber* f) noexcept {
  const park_word::woke w = f->word.ready();
  if (__builtin_expect(w == park_word::woke::from_parked, 1)) return true;
  switch (w) {
    case park_word::woke::from_parked: return true;
    case park_word::woke::before_the_switch:
      if (trace::on()) trace::ready(nullptr, f, trace::woke::early);
      return false;
    case park_word::woke::twice: break;
  }
  char label[fiber_label_max];
  label_fiber(f->id, f->name, label);
  fatal("%s was readied twice for one wait", label);
}

}  // namespace

__attribute__((noinline)) agent* current_agent() noexcept {
  machine* const m = the_machine;
  if (m == nullptr) return this_thread_agent();
  fiber* const f = m->my_fiber();
  // Inside a declared syscall the fiber's thread counts as a plain thread: the fiber cannot leave it there.
  return f == nullptr || f->syscall_depth != 0 ? this_thread_agent() : f;
}

void cancel_park(agent* self) noexcept {
  if (self->word.woken_already()) fatal("a wait was taken back after somebody had readied it");
  self->word.futex().store(park_word::running, mo::relaxed);
}

void park(agent* self) noexcept {
  if (self->what == agent::kind::plain_thread) {
    park_thread(self);
    return;
  }
  auto* const f = static_cast<fiber*>(self);
  if (f->word.woken_already()) return;
  machine* m = f->on;  // the agent is the caller's own: no need to ask the thread
  if (__builtin_expect(f->in_place, 0)) {
    park_in_place(m, f);
    return;
  }
  enter_runtime(m);
  processor* const p = m->my_p();
  if (__builtin_expect(m->baton.must_look_before_switch(), 0)) {
    m = park_noticed(m, f);
  } else {
    m = switch_away(m, p, f, commit_park, f);
  }
  leave_runtime(m);
}

bool park_thread_until(agent* self, std::int64_t deadline_ns) noexcept {
  if (!self->word.commit()) return true;
  before_sleep();
  while (self->word.futex().load(mo::acquire) == park_word::parked) {  // as in park_thread()
    if (platform::futex_wait(self->word.futex(), park_word::parked, deadline_ns)) continue;
    // Back to parking: a ready() that comes from here on counts as one before the switch.
    std::uint32_t parked = park_word::parked;
    if (self->word.futex().compare_exchange_strong(parked, park_word::parking, mo::acq_rel, mo::acquire)) {
      return false;
    }
  }
  return true;
}

__attribute__((noinline)) void ready(agent* who) noexcept {
  if (__builtin_expect(who->what == agent::kind::plain_thread, 0)) {
    wake_thread(who);
    return;
  }
  auto* const f = static_cast<fiber*>(who);
  if (!wake_fiber(f)) return;
  machine* const m = the_machine;
  if (__builtin_expect(m == nullptr, 0)) {
    if (trace::on()) trace::ready(nullptr, f, trace::woke::parked);
    make_runnable(nullptr, f);
    return;
  }
  if (enter_recording(m)) trace::ready(m, f, trace::woke::parked);
  make_runnable(m, f);
  leave_runtime(m);
}

void ready_into(agent* who, fiber_list& list) noexcept {
  if (who->what == agent::kind::plain_thread) {
    wake_thread(who);
    return;
  }
  auto* const f = static_cast<fiber*>(who);
  if (!wake_fiber(f)) return;
  if (trace::on()) trace::ready(nullptr, f, trace::woke::parked);
  if (__builtin_expect(f->in_place, 0)) {
    ready_in_place(f);
  } else {
    list.push_back(f);
  }
}

void yield() noexcept {
  machine* m = this_machine();
  if (m == nullptr) {
    ::sched_yield();
    return;
  }
  fiber* const self = m->my_fiber();
  if (self->syscall_depth != 0) {
    ::sched_yield();
    return;
  }
  enter_runtime(m);
  processor* p = m->my_p();
  if (__builtin_expect(self->in_place, 0)) {
    yield_in_place(m, self);
    leave_runtime(m);
    return;
  }
  if (__builtin_expect(m->baton.must_look_before_switch(), 0)) {
    const bool slice_was_over = m->baton.slice_is_over();
    p = give_way(m);
    if (m->baton.is_traced()) {
      m = yield_traced(m, p, self, slice_was_over);
      leave_runtime(m);
      return;
    }
  }
  if (p == nullptr) {  // the P was taken: the fiber waits for one, behind the others. Or this is scatter mode
    m = switch_to_native(m, self, requeue_global, self);
  } else {
    if (fiber* const next = pick(m, p)) {
      m = switch_to(m, self, next, requeue_local, self);
    } else if (__builtin_expect(m->my_p() == nullptr, 0)) {  // the P went to a fiber in place
      m = switch_to_native(m, self, requeue_global, self);
    }
  }
  leave_runtime(m);
}

void yield_if_due() noexcept {
  machine* m = this_machine();
  // no_p alone does not matter here: the next call that waits handles it. But a fiber whose P was taken must not run
  // beside the fiber that has the P now for longer than one call.
  if (m == nullptr || __builtin_expect(!m->baton.has_notice(), 1)) return;
  fiber* const self = m->my_fiber();
  if (self->syscall_depth != 0) return;
  enter_runtime(m);
  if (__builtin_expect(self->in_place, 0)) {
    yield_in_place(m, self);
  } else if (m->baton.slice_is_over() || m->my_p() == nullptr) {
    if (trace::on()) trace::record(m, {.what = trace::kind::yield, .detail = 1, .subject = self->id});
    processor* const p = give_way(m);
    m = trace::on() ? switch_away_traced(m, p, self, requeue_global, self)
                    : switch_away(m, p, self, requeue_global, self);
  }
  leave_runtime(m);
}

namespace {

void wait_is_over(void* arg, std::uint64_t, fiber_list& readied) noexcept {
  auto* const w = static_cast<waiter*>(arg);
  agent* const who = w->who();
  if (w->claim(waiter::timed_out)) ready_into(who, readied);
}

void sleep_is_over(void* arg, std::uint64_t, fiber_list& readied) noexcept {
  ready_into(static_cast<agent*>(arg), readied);
}

}  // namespace

std::uint32_t waiter::wait_until(std::int64_t deadline_ns) noexcept {
  if (deadline_ns <= platform::now_ns()) {
    if (claim(timed_out)) {
      cancel_park(who_);
    } else {
      park(who_);  // the ready() is on its way
    }
  } else if (who_->what == agent::kind::plain_thread) {
    if (!park_thread_until(who_, deadline_ns)) {
      if (claim(timed_out)) {
        cancel_park(who_);
      } else {
        park(who_);
      }
    }
  } else {
    timer_handle timer;
    try {
      timer = arm_timer(deadline_ns, wait_is_over, this, 0, true);
    } catch (const std::bad_alloc&) {
      // No memory for a timer: the fiber watches the clock itself, taking turns with the others.
      while (is_open() && platform::now_ns() < deadline_ns) yield();
      // `timer` is not used after the call has thrown: g++ 12 leaves it unset then.
      if (claim(timed_out)) {
        cancel_park(who_);
      } else {
        park(who_);
      }
      return outcome_.load(mo::acquire);
    }
    park(who_);
    cancel_timer(timer);  // even if it fired: the timer may still be looking at *this
  }
  return outcome_.load(mo::acquire);
}

void sleep_until_ns(std::int64_t deadline_ns) {
  if (deadline_ns <= platform::now_ns()) {
    yield();
    return;
  }
  agent* const self = current_agent();
  prepare_park(self, wait_reason::sleep);
  if (self->what == agent::kind::plain_thread) {
    if (!park_thread_until(self, deadline_ns)) cancel_park(self);
    return;
  }
  try {
    static_cast<void>(arm_timer(deadline_ns, sleep_is_over, self, 0, true));
  } catch (...) {
    cancel_park(self);
    throw;
  }
  park(self);
}

}  // namespace baton::sched
