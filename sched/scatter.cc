// Scatter mode (options::scatter): a fiber that has waited, has yielded, or comes back from a declared call, continues
// on another thread whenever one is idle. Without this mode most fibers continue on the same thread. So code that keeps
// something of its thread across such a call (the address of a thread_local, a lock whose owner is a thread) mostly
// works by chance. In this mode it does not.
//
// What moves is the P, so it works with one P, too:
//   1. Each M has the notice `scattered` for as long as it lives. So a fiber that leaves its stack leaves it for the
//      native context (give_way()), never straight for the next fiber, and the end of a declared call takes its slow
//      path and leaves in the same way.
//   2. The M's main loop finds the next fiber, in the usual order. If this M was the last to run that fiber, the fiber
//      goes back to the head of the P's queue, and the P goes to the M that has been idle for longest. In the same
//      critical section, this M takes the place of the other one in the list of idle Ms. Other Ms see an M that has
//      become idle, and a P that stays busy.
//   3. If no M is idle, the fiber continues here. The monitor keeps more threads than usual, so that mostly one is
//      idle.
//
// The other M runs the fiber, because it is not the M that ran it last. So a fiber moves once for each wait, and the
// next M's turn always makes progress. If that M finds another fiber first, it may move that one in its turn.
//
// A fiber that is readied before it has left its stack, or that need not wait, has not waited, and continues at once.
// Fibers that stay on their thread (thread_lock.cc) are in no queue, and so are never seen here.
//
// Without the mode this costs nothing. A switch tests for both notices at once, and a thread chooses its main loop when
// it starts.
#include <baton/sched/scatter.h>

#include <baton/sched/handoff.h>
#include <baton/sched/idle.h>

namespace baton::sched {

namespace {

// The list has the Ms that went idle last in front.
machine* longest_idle_m(const scheduler& s) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  machine* m = s.idle_m_list;
  while (m != nullptr && m->next_idle != nullptr) m = m->next_idle;
  return m;
}

}  // namespace

bool sent_elsewhere(machine* m, fiber* f) noexcept {
  // A fiber that has not run yet has no thread to leave.
  if (f->fresh.load(mo::relaxed) || f->on != m) return false;
  scheduler& s = the_scheduler;
  processor* const p = m->my_p();
  machine* to = nullptr;
  {
    platform::lock_guard guard(s.lock);
    if (!s.closing) to = longest_idle_m(s);  // otherwise an M that is to end would wait
    if (to != nullptr) {
      forget_p(m, trace::left::scattered);
      push_idle_m(s, m);  // before the other one leaves: the list is never seen empty, so this M need not look for work
      unlink_idle_m(s, to);
    }
  }
  if (to == nullptr) {
    s.spare_wanted.store(true, mo::relaxed);  // the monitor's next sweep comes soon
    return false;
  }
  push_next(p, f);
  hand_p(to, p, false);
  if (trace::on()) trace::record(m, {.what = trace::kind::sleep});
  m->baton.leave(place::idle);
  return true;
}

int threads_to_scatter() noexcept { return the_scheduler.config.scatter ? limits::scatter_threads : 0; }

}  // namespace baton::sched
