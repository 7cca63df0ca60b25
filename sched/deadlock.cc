// A deadlock is declared when no thread can wake any fiber any more. A false alarm is unacceptable (the process may be
// told to abort), so whatever might wake a fiber silences the alarm:
//
//   a fiber that is not parked    it runs, is about to run, or is in a declared call
//   a fiber that waits for        a descriptor, a signal, a child process (wait_reason.h says which reasons).
//   outside                       So a program that uses os_signals never gets a report
//   a timer                       it is armed, or its callback is under way, whichever thread armed it
//   another thread                any thread of the process except the Ms, the monitor, and the threads that wait
//                                 inside run(): it may hold a channel, or come to hold one. What such a thread has
//                                 used so far tells nothing, because a send that meets no waiter leaves no trace. So
//                                 the kernel counts the threads
//   no thread in run()            the threads outside run() can do as they like
//
// All this is looked at while no fiber runs. The monitor has seen all Ps idle, and at the end it sees that no P was
// taken meanwhile (monitor.cc). Without that, two looks at two fibers would not make one picture.
//   1. timers. Their callbacks ready fibers before they count as ended
//   2. fibers. A fiber that was readied is no longer parked, wherever it waits to be queued
//   3. threads. A thread that readied a fiber after 2, and has ended, has left work or a taken P behind
//   4. timers again. A timer that was armed after 1, by a thread that had ended before 3, is still there, or its
//      callback has readied an agent: then a P was taken. Step 1 only saves the other steps
//
// The check costs some nanoseconds per fiber. So it is made once per idle period, after some time, and begins with the
// fiber that gave the answer last: usually a listener or reader, which still waits.
#include <baton/sched/deadlock.h>

#include <baton/sched/fiber_slab.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/owner_cycle.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/trace/collector.h>
#include <baton/sched/wait_reason.h>

#include <unistd.h>
#include <cstdlib>

namespace baton::sched {

struct run_callers {
  platform::spin_lock lock;
  run_caller* first ABSL_GUARDED_BY(lock) = nullptr;
  platform::atomic<int> count{0};

  void add(run_caller& c) noexcept {
    platform::lock_guard hold(lock);
    c.next_ = first;
    if (first != nullptr) first->prev_ = &c;
    first = &c;
    count.fetch_add(1, mo::relaxed);
  }
  void remove(run_caller& c) noexcept {
    platform::lock_guard hold(lock);
    (c.prev_ != nullptr ? c.prev_->next_ : first) = c.next_;
    if (c.next_ != nullptr) c.next_->prev_ = c.prev_;
    count.fetch_sub(1, mo::relaxed);
  }
  // Returns how many there are, or -1 if one of them does not wait yet, or no longer waits.
  int all_waiting() noexcept {
    platform::lock_guard hold(lock);
    int n = 0;
    for (const run_caller* c = first; c != nullptr; c = c->next_) {
      if (c->who_->word.peek() != park_word::parked) return -1;
      ++n;
    }
    return n;
  }
};

namespace {

run_callers callers;
bool declared = false;            // by the monitor, for the monitor
std::uint32_t last_evidence = 0;  // index of the fiber that gave the last answer

bool timers_to_come() noexcept {
  const int n = the_scheduler.procs_ever.load(mo::acquire);
  for (int i = 0; i < n; ++i) {
    if (the_scheduler.ps[i].timers.to_come() != 0) return true;
  }
  return false;
}

// The fields belong to the fiber. They stay as they are if the fiber is parked. If it is not parked, this alone is the
// answer.
__attribute__((no_sanitize("thread"))) bool may_go_on(const fiber& f) noexcept {
  if (!f.in_use.load(mo::relaxed)) return false;
  // acquire: pairs with the release of the thread that let the fiber go; what the fiber wrote before it parked is seen.
  const std::uintptr_t join = f.join.load(mo::acquire);
  if (join == join_ended) return false;  // only its result waits
  return f.word.peek() != park_word::parked || waits_for_outside(f.reason);
}

bool a_fiber_may_go_on() noexcept {
  const std::uint32_t n = fiber_entries();
  if (last_evidence < n && may_go_on(*fiber_entry_at(last_evidence))) return true;
  for (std::uint32_t i = 0; i < n; ++i) {
    if (!may_go_on(*fiber_entry_at(i))) continue;
    last_evidence = i;
    return true;
  }
  return false;
}

// An M that begins is counted before its thread exists, and by this thread. An M that ends is no longer counted while
// its thread still exists. So a thread beyond the counted ones is unknown, or gone soon.
bool only_known_threads(int in_run) noexcept {
  constexpr int monitor = 1;
  constexpr int of_the_sanitizer = BATON_TSAN;
  return platform::thread_count() ==
         the_scheduler.threads.load(mo::acquire) + monitor + of_the_sanitizer + in_run + trace::collector_threads();
}

}  // namespace

run_caller::run_caller() noexcept : who_(this_thread_agent()) { callers.add(*this); }
run_caller::~run_caller() { callers.remove(*this); }

int run_caller_count() noexcept { return callers.count.load(mo::relaxed); }

void forget_deadlock() noexcept { declared = false; }

bool deadlock_possible() noexcept {
  // relaxed: a thread that enters run() wakes the monitor with the main fiber.
  return !declared && callers.count.load(mo::relaxed) > 0 && !the_scheduler.ending.load(mo::relaxed);
}

wakers find_wakers() noexcept {
  if (timers_to_come()) return wakers::some;
  if (a_fiber_may_go_on()) return wakers::some;
  const int in_run = callers.all_waiting();
  if (in_run == 0) return wakers::some;
  if (in_run < 0 || !only_known_threads(in_run)) return wakers::cannot_tell;
  return timers_to_come() ? wakers::some : wakers::none;
}

void declare_deadlock() noexcept {
  declared = true;
  last_warning("deadlock: all fibers are asleep, and nothing can wake them");
  log_owner_cycles();
  log_fibers();
  switch (the_scheduler.config.on_deadlock) {
    case deadlock_response::report: return;
    case deadlock_response::abort: std::abort();
    case deadlock_response::exit_2: ::_exit(2);
  }
}

}  // namespace baton::sched
