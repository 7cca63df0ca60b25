// How a P leaves an M whose fiber is in a declared call, and how the fiber gets going again.
//
// Leaving, at entry (the call is expected to block):
//   1. enter a section; 2. give_away: notice gets no_p, so no revoker looks at this M any more;
//   3. hand_off: the P goes to an idle M if there is work, else to the idle list (where the M that sleeps
//      in the poller finds it); 4. leave to place::syscall.
// Leaving, later: the monitor takes it (monitor.cc), by the baton's protocol.
//
// Coming back, end_syscall found notice != 0:
//   1. enter a section; heed: a revoker that only asked is refused, and the P is still here: done;
//   2. no P: any idle one will do;
//   3. none: the fiber leaves for the native context, and the after-action queues it in `returning`
//      (not before: another M could run it while it is still on its stack); then the M sleeps. Busy Ps
//      look at `returning` at every second pick, so the fiber runs again within microseconds.
#include <baton/sched/handoff.h>

#include <baton/sched/fatal.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/switch.h>

namespace baton::sched {

namespace {

void queue_returning(machine*, void* arg) noexcept {
  the_scheduler.returning.push(static_cast<fiber*>(arg));
  wake_for_work();
}

}  // namespace

bool begin_call(machine* m, handoff_cause cause) noexcept {
  scheduler& s = the_scheduler;
  enter_runtime(m);
  processor* const p = m->my_p();
  const bool gives = p != nullptr && (cause != handoff_cause::unknown || work_waits(p));
  if (gives) {
    m->baton.give_away();
    m->p.store(nullptr, mo::relaxed);
    switch (cause) {
      case handoff_cause::predicted: s.handoffs_predicted.fetch_add(1, mo::relaxed); break;
      case handoff_cause::unknown: s.handoffs_unknown.fetch_add(1, mo::relaxed); break;
      case handoff_cause::hinted: s.handoffs_hinted.fetch_add(1, mo::relaxed); break;
    }
    hand_off(p);
  }
  m->baton.begin_syscall();
  if (!gives && p != nullptr) monitor_watch_call();
  return gives;
}

void hand_over_within_call(machine* m) noexcept {
  enter_runtime(m);
  if (processor* const p = m->my_p()) {
    m->baton.give_away();
    m->p.store(nullptr, mo::relaxed);
    the_scheduler.handoffs_hinted.fetch_add(1, mo::relaxed);
    hand_off(p);
  }
  m->baton.begin_syscall();
}

bool end_call_slow() noexcept {
  machine* m = enter_runtime();
  fiber* const self = m->my_fiber();
  const bool lost = m->my_p() == nullptr;
  if (lost && !take_idle_p(m)) {
    the_scheduler.returned_slow.fetch_add(1, mo::relaxed);
    m = switch_to_native(m, self, queue_returning, self);
  }
  leave_runtime(m);
  return lost;
}

void exit_without_enter() noexcept { fatal("exit_syscall without enter_syscall"); }

}  // namespace baton::sched
