// How Ms find work, go idle, and are woken.
//
// Work is anything runnable: in a P's queue, in the shared queues, a due timer, a ready descriptor. The promise: while
// work waits and a P is idle, some thread is looking for work (is "spinning") or is about to look.
//
//   submitter:                          the M that goes idle:
//     1. publish the work                 1. publish the idle P; spinning--
//     2. full fence                       2. full fence
//     3. look: an idle P, no thread       3. look: any work anywhere?
//        spinning? wake a thread             wake a thread (it may be this M itself)
//
// With a full fence between 1 and 3 on both sides, at least one of them sees the other. If the work was published
// before the fence of the M that goes idle, that M sees the work. Otherwise the submitter's look comes later: it sees
// the idle P, and no thread that spins. The M that goes idle looks at *all* queues, not only at those of the P it had:
// a fiber that came back from a syscall may have filled a P meanwhile.
//
// Every thread that makes a P idle, an M or the monitor, does the same. Steps 2 and 3 are look_beside_idle(). Only
// change_procs(), which rebuilds the idle list, executes them itself.
//
// At most one M sleeps in the poller, with a timeout that ends at the earliest timer of all idle Ps (idle_sleep.cc).
// The others sleep on their own futex. Sleepers hold no P. An M decides where it sleeps (in the poller or on its futex)
// under the scheduler's lock, in the critical section that makes its P idle. So a waker that sees the idle P also sees
// where the M is: on the idle list, or `polling`.
//
//   arming a timer:                     the M that goes to the poller:
//     1. put it in the heap               1. polling := true, poll_until := 0 (not known)
//     2. full fence                       2. full fence
//     3. polling and poll_until later     3. read all heaps; poll_until := the earliest
//        (or not known)? wake the poller
//
// The owner of a heap arms without step 2. It is there to run the timer, or it makes its P idle, and then it looks at
// its heap after the fence. A busy owner may be late, but that is a matter of milliseconds, not of correctness.
// cover_busy_timer() tells the M that sleeps in the poller, if there is one, and the monitor runs the timers that are
// late nevertheless.
//
// A spinning M holds a P. When it finds work it stops spinning. If it was the last one that spun, it wakes another M.
// So, while there is work, the Ms wake each other one after the other.
//
// When there is no M to wake (all are in calls, and no thread can be had: because of the limit, or because the system
// refuses one) the P stays idle beside the work, and must go to a fiber that can use it:
//   a fiber that waits in place    is given the P at once (serve_in_place): it needs no M
//   a fiber that comes back        takes the P; if other work waits, the fiber leaves the P to its M and queues behind
//                                  that work (others_wait_for_p), because its thread may be the only one that comes
// back Meanwhile the monitor looks after timers, the network, and the queues of idle Ps (share_out_idle_ps). It puts
// all that is ready in the global queue, where every M looks.
#include <baton/sched/handoff.h>
#include <baton/sched/idle.h>

#include <algorithm>

namespace baton::sched {

namespace {

// m, which is off the idle list, gets p. others: true if m was not the last on that list.
void give(machine* m, processor* p, bool spinning, bool others) noexcept {
  scheduler& s = the_scheduler;
  hand_p(m, p, spinning);
  // The next handoff should find a thread: starting one takes far longer than waking one. This need not wake the
  // monitor, because its next sweep comes soon enough.
  if (!others && !s.polling.load(mo::relaxed) && !s.spare_wanted.load(mo::relaxed)) {
    s.spare_wanted.store(true, mo::relaxed);
  }
}

// An M of the idle list gets an idle P. Returns false if there is no such pair. spinning: the M is counted as a spinner
// already, and is counted no longer if there is no such pair.
bool pair_idle(bool spinning) noexcept {
  scheduler& s = the_scheduler;
  machine* m = nullptr;
  processor* p = nullptr;
  bool others = false;
  {
    platform::lock_guard guard(s.lock);
    if (s.idle_p_list != nullptr && s.idle_m_list != nullptr) {
      p = pop_idle_p(s);
      m = pop_idle_m(s);
      others = s.idle_m_list != nullptr;
    } else if (spinning) {
      // The lock is needed here: a thread that publishes an idle P later, and then looks, would otherwise rely on a
      // spinner that never comes.
      s.spinning.fetch_sub(1, mo::seq_cst);
    }
  }
  if (p != nullptr) give(m, p, spinning, others);
  return p != nullptr;
}

// Idle Ps go to the fibers that wait in place: no M is there that would pass on its own P to them.
void serve_in_place() noexcept {
  scheduler& s = the_scheduler;
  while (s.returning.has_in_place() || s.global.has_in_place()) {
    fiber* f;
    processor* p;
    {
      platform::lock_guard guard(s.lock);
      if (s.idle_p_list == nullptr) return;
      f = s.returning.pop_in_place();
      if (f == nullptr) f = s.global.pop_in_place();
      if (f == nullptr) return;
      p = pop_idle_p(s);
    }
    hand_p(f->on, p, false);
  }
}

// Something waits beside an idle P, and no M is on the idle list.
void call_somebody() noexcept {
  scheduler& s = the_scheduler;
  if (s.polling.load(mo::seq_cst)) {
    wake_poller();  // the poller takes the P, sooner than a new thread would
    return;
  }
  serve_in_place();
  if (s.idle_ps.load(mo::relaxed) > 0) want_thread();
}

// No M sleeps in the poller, but one should. Sends one there, by way of an idle P.
void want_poller() noexcept {
  scheduler& s = the_scheduler;
  bool nobody;
  {
    platform::lock_guard guard(s.lock);
    if (!s.has_ps.load(mo::relaxed) || s.closing || s.polling.load(mo::relaxed) || s.idle_p_list == nullptr) return;
    nobody = s.idle_m_list == nullptr;
  }
  if (nobody) {
    want_thread();  // until there is one, the monitor polls
  } else {
    pair_idle(false);
  }
}

// Requires: a fence, which came after `when` could be read in the heap of an idle P.
void see_to_timer(std::int64_t when) noexcept {
  scheduler& s = the_scheduler;
  if (when == platform::forever_ns) return;
  if (!s.polling.load(mo::relaxed)) {
    want_poller();
    return;
  }
  if (const std::int64_t until = s.poll_until.load(mo::relaxed); until != 0 && until <= when) return;
  wake_poller();
}

// p has just become idle. This is the one place with steps 2 and 3 of the thread that made it idle. polls: that thread
// is the M that sleeps in the poller next, and it reads all heaps before it sleeps.
void look_beside_idle(const processor* p, bool polls) noexcept {
  scheduler& s = the_scheduler;
  // Publish the idle P, then look: pairs with the fences of wake_for_work(), of break_poll_before() and arm_timer().
  platform::full_fence();
  if (!polls) {
    // This was the last busy P, and no M polls, so an M must go to the poller. handoff_p() looks without the lock, and
    // two threads that hand
    // off at once do not see each other.
    if (!s.polling.load(mo::relaxed) && s.idle_ps.load(mo::relaxed) >= s.procs.load(mo::relaxed)) {
      want_poller();
    } else {
      see_to_timer(p->timers.earliest());
    }
  }
  if (any_queue_has_work()) wake_for_work();
}

// Gives p to an idle M. If there is none, p becomes idle, and a thread that can take it is called.
void start_m(processor* p) noexcept {
  scheduler& s = the_scheduler;
  machine* m;
  bool others;
  {
    platform::lock_guard guard(s.lock);
    m = pop_idle_m(s);
    if (m == nullptr) push_idle_p(s, p);
    others = s.idle_m_list != nullptr;
  }
  if (m == nullptr) {
    look_beside_idle(p, false);
    return;
  }
  give(m, p, false, others);
  cover_busy_timer(p->timers.earliest());
}

void stop_spinning(machine* m, bool found) noexcept {
  if (!m->spinning) return;
  m->spinning = false;
  const int before = the_scheduler.spinning.fetch_sub(1, mo::seq_cst);
  if (found && before == 1) wake_for_work();
}

}  // namespace

void wake_poller() noexcept {
  scheduler& s = the_scheduler;
  for (poller* source = s.source.load(mo::seq_cst);;) {
    source->wake();
    poller* const now = s.source.load(mo::seq_cst);
    if (now == source) return;
    source = now;
  }
}

void drain(processor* p) noexcept {
  fiber_list left;
  while (fiber* const f = p->queue.take_next()) left.push_back(f);
  while (fiber* const f = p->queue.pop()) left.push_back(f);
  if (!left.empty()) the_scheduler.global.push_all(static_cast<fiber_list&&>(left));
}

bool any_queue_has_work() noexcept {
  scheduler& s = the_scheduler;
  if (shared_work_waits()) return true;
  const int n = s.procs.load(mo::relaxed);
  for (int i = 0; i < n; ++i) {
    if (!s.ps[i].queue.empty()) return true;
  }
  return false;
}

processor* pop_idle_p() noexcept {
  scheduler& s = the_scheduler;
  if (s.idle_ps.load(mo::relaxed) == 0) return nullptr;
  platform::lock_guard guard(s.lock);
  return pop_idle_p(s);
}

void pass_p_on(machine* m, processor* p, machine* to) noexcept {
  stop_spinning(m, true);
  forget_p(m, trace::left::in_place);
  m->expects_p = true;
  hand_p(to, p, false);
}

void wake_for_work() noexcept {
  scheduler& s = the_scheduler;
  platform::full_fence();  // publish, then look; pairs with the fence in look_beside_idle()
  if (s.idle_ps.load(mo::relaxed) == 0) return;
  if (s.spinning.load(mo::relaxed) != 0) return;
  // With a single P the sleeper in the poller is the one to wake. Any other M would run while the sleeper sleeps on,
  // and every descriptor that gets ready would then wake a thread that has no P.
  const bool by_poller = s.procs.load(mo::relaxed) == 1 && s.polling.load(mo::seq_cst);
  // An M that goes on the idle list after this looks at all queues, as does every M that goes idle.
  if (by_poller || s.threads_idle.load(mo::relaxed) == 0) {
    call_somebody();
    return;
  }
  int none = 0;
  if (!s.spinning.compare_exchange_strong(none, 1, mo::seq_cst, mo::relaxed)) return;
  // The M on the list may have gone. If it was the P that has gone, its new holder looks at the queues.
  if (!pair_idle(true) && s.idle_ps.load(mo::relaxed) > 0) call_somebody();
}

bool acquire_idle_p(machine* m) noexcept {
  scheduler& s = the_scheduler;
  if (s.idle_ps.load(mo::relaxed) == 0) {
    // This is only a hint. A caller that depends on the answer queues its work first and then wakes a thread.
    platform::full_fence();
    if (s.idle_ps.load(mo::relaxed) == 0) return false;
  }
  processor* p;
  {
    platform::lock_guard guard(s.lock);
    p = s.closing ? nullptr : pop_idle_p(s);
  }
  if (p == nullptr) return false;
  acquire_p(m, p);
  return true;
}

bool others_wait_for_p(machine* m) noexcept {
  if (somebody_could_serve()) return false;  // and the thread that queued the work has called them
  processor* const p = m->my_p();
  look_around(m, p);
  return work_waits(p);
}

void share_out_idle_ps() noexcept {
  scheduler& s = the_scheduler;
  {
    platform::lock_guard guard(s.lock);
    for (processor* p = s.idle_p_list; p != nullptr; p = p->next_idle) drain(p);
  }
  serve_in_place();
}

void put_idle(processor* p) noexcept {
  scheduler& s = the_scheduler;
  {
    platform::lock_guard guard(s.lock);
    push_idle_p(s, p);
  }
  look_beside_idle(p, false);
}

void change_procs(int n) noexcept {
  scheduler& s = the_scheduler;
  {
    platform::lock_guard guard(s.lock);
    // Each P is taken off the list, and put on it again if it counts under the new number. Idle Ps that were retired
    // come back this way when the number grows.
    s.idle_p_list = nullptr;
    s.idle_ps.store(0, mo::relaxed);
    const int ever = s.procs_ever.load(mo::relaxed);
    s.procs.store(n, mo::seq_cst);
    for (int i = std::max(n, ever); i-- > 0;) {
      if (i >= ever || s.ps[i].idle.load(mo::relaxed)) push_idle_p(s, &s.ps[i]);
    }
    s.procs_ever.store(std::max(n, ever), mo::release);
  }
  platform::full_fence();
  if (any_queue_has_work()) wake_for_work();
}

void release_p(machine* m, processor* p, trace::left why) noexcept {
  forget_p(m, why);
  handoff_p(p);
}

void handoff_p(processor* p) noexcept {
  scheduler& s = the_scheduler;
  const bool retired = p->index >= static_cast<std::uint32_t>(s.procs.load(mo::relaxed));
  // The last busy P, and no M waits in the poller: one must.
  const bool nobody_polls =
      !s.polling.load(mo::seq_cst) && s.idle_ps.load(mo::relaxed) == s.procs.load(mo::relaxed) - 1;
  if (!retired && (work_waits(p) || nobody_polls)) {
    start_m(p);
  } else {
    put_idle(p);
  }
}

void break_poll_before(std::int64_t when) noexcept {
  if (when == platform::forever_ns) return;
  platform::full_fence();  // timer, then look; pairs with the fence before sleep_in() reads the heaps
  see_to_timer(when);
}

void detail::cover_timer(std::int64_t when) noexcept {
  const scheduler& s = the_scheduler;
  if (when >= platform::forever_ns - limits::busy_timer_slack_ns || s.idle_ps.load(mo::relaxed) == 0 ||
      (s.threads_idle.load(mo::relaxed) == 0 && !s.polling.load(mo::relaxed))) {
    return;
  }
  platform::full_fence();  // as in break_poll_before()
  see_to_timer(when + limits::busy_timer_slack_ns);
}

namespace {

// M m has found f, which is going to run on P p. Returns f.
fiber* run_found(machine* m, processor* p, fiber* f) noexcept {
  stop_spinning(m, true);
  if (!p->queue.empty()) wake_for_work();
  cover_busy_timer(p->timers.earliest());
  return f;
}

// Polls without waiting, unless another M polls. Readied fibers go to P p. Returns the first of them, or null.
fiber* poll_now(machine* m, processor* p) noexcept {
  scheduler& s = the_scheduler;
  if (s.polling.load(mo::relaxed) || s.someone_polls_now.exchange(true, mo::acquire)) return nullptr;
  fiber_list readied;
  s.source.load(mo::acquire)->poll(0, readied);
  s.polls.fetch_add(1, mo::relaxed);
  s.last_poll_ticks.store(platform::ticks(), mo::relaxed);
  s.someone_polls_now.store(false, mo::release);
  if (readied.empty()) return nullptr;
  if (trace::on()) trace::polled(m, readied);
  fiber* const f = readied.pop_front();
  push_local_all(p, static_cast<fiber_list&&>(readied));
  return run_found(m, p, f);
}

// Looks for a fiber for some time, unless half of the busy Ps do so already. Returns null if there is none, or if the P
// went to a fiber in place: then m has no P.
fiber* spin(machine* m, processor* p) noexcept {
  scheduler& s = the_scheduler;
  const int busy = s.procs.load(mo::relaxed) - s.idle_ps.load(mo::relaxed);
  if (!m->spinning) {
    if (2 * s.spinning.load(mo::relaxed) >= busy) return nullptr;
    m->spinning = true;
    s.spinning.fetch_add(1, mo::seq_cst);
  }
  const std::uint64_t until = platform::ticks() + platform::ticks_of_ns(limits::spin_ns);
  int pauses = 1;
  do {
    fiber* f = shared_work_waits() ? pick(m, p) : nullptr;
    if (m->my_p() == nullptr) return nullptr;
    if (f == nullptr) f = steal(p);
    if (f != nullptr) {
      stop_spinning(m, true);
      cover_busy_timer(p->timers.earliest());
      return f;
    }
    // The pauses get longer: each look takes cache lines away from the threads that work.
    for (int i = 0; i < pauses; ++i) platform::cpu_relax();
    pauses = std::min(2 * pauses, limits::spin_pauses_max);
  } while (platform::ticks() < until && s.procs.load(mo::relaxed) > s.idle_ps.load(mo::relaxed) + 1);
  return nullptr;
}

// Gives up P p, and decides in one critical section where M m is going to sleep. Does nothing if shared work waits.
void go_idle(machine* m, processor* p) noexcept {
  scheduler& s = the_scheduler;
  bool polls = false;
  {
    platform::lock_guard guard(s.lock);
    if (shared_work_waits()) return;  // pick() takes it at the next round
    forget_p(m, trace::left::idle);
    push_idle_p(s, p);
    if (s.closing) {
      // The M does not sleep: wait_for_p() ends it.
    } else if (!s.polling.load(mo::relaxed)) {
      polls = true;
      s.poll_until.store(0, mo::relaxed);
      s.polling.store(true, mo::seq_cst);
    } else {
      push_idle_m(s, m);
    }
  }
  m->polling = polls;
  if (trace::on()) trace::record(m, {.what = trace::kind::sleep, .detail = polls});
  m->baton.leave(place::idle);
  stop_spinning(m, false);
  look_beside_idle(p, polls);
}

}  // namespace

fiber* find_work(machine* m) noexcept {
  scheduler& s = the_scheduler;
  processor* p = m->my_p();
  if (p->index >= static_cast<std::uint32_t>(s.procs.load(mo::relaxed))) {  // this P has been retired
    forget_p(m, trace::left::retired);
    stop_spinning(m, false);
    put_idle(p);  // which drains it
    return nullptr;
  }

  fiber_list readied;
  const bool more_timers = run_all_due_timers(p, readied);
  if (!readied.empty()) push_local_all(p, static_cast<fiber_list&&>(readied));
  if (fiber* const f = pick(m, p)) return run_found(m, p, f);
  // Either the P went to a fiber in place, or there is more to do, and the next round does it.
  if (m->my_p() == nullptr || more_timers) return nullptr;

  // With one P there is nothing to steal, and the blocking poll finds the same descriptors as poll_now(), in one system
  // call instead of two.
  if (s.procs.load(mo::relaxed) > 1) {
    if (fiber* const f = poll_now(m, p)) return f;
    if (fiber* const f = spin(m, p)) return f;
    if (m->my_p() == nullptr) return nullptr;
  }
  go_idle(m, p);
  return nullptr;
}

}  // namespace baton::sched
