// How Ms find work, go idle, and are woken.
//
// Work is anything runnable: in a P's queue, in the shared queues, a due timer, a ready descriptor.
// The promise: while work waits and a P is idle, somebody is looking for it (is "spinning") or about to.
//
//   submitter:                          the M that goes idle:
//     1. publish the work                 1. publish the idle P; spinning--
//     2. full fence                       2. full fence
//     3. look: an idle P, nobody          3. look: any work anywhere?
//        spinning? wake somebody             wake somebody (it may be this M itself)
//
// With a full fence between 1 and 2 on both sides, at least one of them sees the other: work published
// before the fence of the idler is seen by the idler; otherwise the submitter's look comes later and
// sees the idle P with nobody spinning. The idler looks at *all* queues, not only at the ones it had:
// a P may have been filled meanwhile by a fiber that came back from a syscall.
//
// At most one M sleeps in the poller, with a timeout that ends at the earliest timer of all idle Ps;
// the others sleep on their own futex. Sleepers hold no P. Which sleep an M goes to is decided under
// the scheduler's lock, in the same critical section in which its P becomes idle, so a waker that sees
// the idle P also sees where the M is: on the idle list, or `polling`.
//
//   arming a timer:                     the M that goes to the poller:
//     1. put it in the heap               1. polling := true, poll_until := 0 (not known)
//     2. full fence                       2. full fence
//     3. polling and poll_until later     3. read all heaps; poll_until := the earliest
//        (or not known)? wake the poller
//
// A spinning M holds a P. When it finds work it stops spinning and, if it was the last, wakes another
// one, so that spinners multiply as long as there is work, one at a time.
#include <baton/sched/durations.h>
#include <baton/sched/hand.h>
#include <baton/sched/scheduler.h>

#include <algorithm>

namespace baton::sched {

namespace {

void drain(processor* p) noexcept {
  fiber_list left;
  while (fiber* const f = p->queue.take_next()) left.push_back(f);
  while (fiber* const f = p->queue.pop()) left.push_back(f);
  if (!left.empty()) the_scheduler.global.push_all(static_cast<fiber_list&&>(left));
}

// ---- lists, under the lock ----

void push_idle_p(scheduler& s, processor* p) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  p->m.store(nullptr, mo::relaxed);
  p->idle.store(true, mo::relaxed);
  // A P beyond the present number of procs is retired: its timers are still looked after (idle is
  // true), but nobody takes it, so it must not keep any fiber.
  if (p->index >= static_cast<std::uint32_t>(s.procs.load(mo::relaxed))) {
    drain(p);
    return;
  }
  p->next_idle = s.idle_p_list;
  s.idle_p_list = p;
  s.idle_ps.fetch_add(1, mo::relaxed);
}

processor* pop_idle_p(scheduler& s) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  processor* const p = s.idle_p_list;
  if (p == nullptr) return nullptr;
  s.idle_p_list = p->next_idle;
  p->next_idle = nullptr;
  p->idle.store(false, mo::relaxed);
  ++s.ps_taken;
  s.idle_ps.fetch_sub(1, mo::relaxed);
  return p;
}

void push_idle_m(scheduler& s, machine* m) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  m->prev_idle = nullptr;
  m->next_idle = s.idle_m_list;
  if (s.idle_m_list != nullptr) s.idle_m_list->prev_idle = m;
  s.idle_m_list = m;
  m->on_idle_list = true;
  m->queued_idle = true;
  s.threads_idle.store(++s.idle_m_count, mo::relaxed);
}

void unlink_idle_m(scheduler& s, machine* m) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  (m->prev_idle != nullptr ? m->prev_idle->next_idle : s.idle_m_list) = m->next_idle;
  if (m->next_idle != nullptr) m->next_idle->prev_idle = m->prev_idle;
  m->next_idle = m->prev_idle = nullptr;
  m->on_idle_list = false;
  s.threads_idle.store(--s.idle_m_count, mo::relaxed);
}

machine* pop_idle_m(scheduler& s) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  machine* const m = s.idle_m_list;
  if (m != nullptr) unlink_idle_m(s, m);
  return m;
}

// ---- giving a P to somebody ----

// Wakes whoever sleeps in the poller; in the one that is installed now, should another have just replaced it.
void wake_poller() noexcept {
  scheduler& s = the_scheduler;
  for (poller* source = s.source.load(mo::seq_cst);;) {
    source->wake();
    poller* const now = s.source.load(mo::seq_cst);
    if (now == source) return;
    source = now;
  }
}

// Gives p to an idle M; if there is none, p becomes idle and a thread is wanted, which will take it.
// spinning: the caller has counted a spinner for this.
void start_m(processor* p, bool spinning) noexcept {
  scheduler& s = the_scheduler;
  machine* m;
  bool spare_wanted = false;
  {
    platform::lock_guard guard(s.lock);
    m = pop_idle_m(s);
    if (m == nullptr) {
      push_idle_p(s, p);
    } else {
      spare_wanted = s.idle_m_list == nullptr;
    }
  }
  if (m != nullptr) {
    hand_p(m, p, spinning);
    // The next hand-off should find a thread: starting one takes far longer than waking one. That need not
    // wake the monitor; it looks soon enough.
    if (spare_wanted && !s.polling.load(mo::relaxed) && !s.spare_wanted.load(mo::relaxed)) {
      s.spare_wanted.store(true, mo::relaxed);
    }
    return;
  }
  if (spinning) s.spinning.fetch_sub(1, mo::relaxed);
  if (s.polling.load(mo::seq_cst)) {
    // Somebody sleeps in the poller: it takes the P when it is woken, sooner than a new thread would.
    wake_poller();
    return;
  }
  want_thread();
}

void stop_spinning(machine* m, bool found) noexcept {
  if (!m->spinning) return;
  m->spinning = false;
  const int before = the_scheduler.spinning.fetch_sub(1, mo::seq_cst);
  if (found && before == 1) wake_for_work();
}

std::int64_t earliest_idle_timer() noexcept {
  std::int64_t when = platform::forever_ns;
  for (int i = 0; i < the_scheduler.procs_ever.load(mo::acquire); ++i) {
    const processor& p = the_scheduler.ps[i];
    if (p.idle.load(mo::relaxed)) when = std::min(when, p.timers.earliest());
  }
  return when;
}

// No descriptor can become ready, and no timer of an idle P will: nobody need sleep in the poller.
bool nothing_to_sleep_for() noexcept {
  return installed_poller() == nullptr && earliest_idle_timer() == platform::forever_ns;
}

// ---- the sleeps; without a P ----

// On its futex. False: it slept for its whole allowance and is off the list: it should end.
bool sleep_idle(machine* m) noexcept {
  scheduler& s = the_scheduler;
  if (m->expects_p) spin_for_hand(m);
  m->expects_p = false;
  const std::int64_t give_up = baton::detail::deadline_after_ns(s.idle_thread_ends_after_ns.load(mo::relaxed));
  bool surplus = true;
  while (!await_hand(m, surplus ? give_up : platform::forever_ns)) {
    platform::lock_guard guard(s.lock);
    if (!m->on_idle_list) continue;  // a P is being handed over right now
    surplus = s.threads.load(mo::relaxed) > s.procs.load(mo::relaxed) + limits::idle_threads_spare;
    if (!surplus) continue;
    unlink_idle_m(s, m);
    m->queued_idle = false;
    leave_hand(m);
    s.threads.fetch_sub(1, mo::relaxed);  // here: the next one to give up has to count without us
    return false;
  }
  m->queued_idle = false;
  if (m->handed == nullptr) {  // close_machines()
    leave_hand(m);
    s.threads.fetch_sub(1, mo::relaxed);
    return false;
  }
  m->spinning = m->handed_spinning;
  accept_hand(m);
  return true;
}

// In the poller. What it brought is made runnable; afterwards the M has a P if one was idle.
void sleep_polling(machine* m) noexcept {
  scheduler& s = the_scheduler;
  poller* const source = s.source.load(mo::acquire);
  // poll_until is 0 here, and the fence came before: see the head comment.
  const std::int64_t until = earliest_idle_timer();
  s.poll_until.store(until, mo::seq_cst);
  std::int64_t timeout = -1;
  if (until != platform::forever_ns) timeout = std::max<std::int64_t>(0, until - platform::now_ns());
  fiber_list readied;
  source->poll(timeout, readied);
  s.polls.fetch_add(1, mo::relaxed);
  s.last_poll_ticks.store(platform::ticks(), mo::relaxed);
  s.poll_until.store(0, mo::seq_cst);
  s.polling.store(false, mo::seq_cst);
  m->polling = false;
  enter_runtime(m);  // the process may be ending
  static_cast<void>(take_idle_p(m));
  run_all_due_timers(m->my_p(), readied);  // a retired P's are nobody else's
  if (readied.empty()) return;
  if (processor* const p = m->my_p(); p != nullptr && nothing_to_sleep_for()) {
    push_local_all(p, static_cast<fiber_list&&>(readied));  // find_work() comes next; if there is more, it wakes
  } else {
    make_runnable_all(m, static_cast<fiber_list&&>(readied));  // wakes somebody, who also sleeps here next
  }
}

}  // namespace

bool any_queue_has_work() noexcept {
  scheduler& s = the_scheduler;
  if (shared_work_waits()) return true;
  const int n = s.procs.load(mo::relaxed);
  for (int i = 0; i < n; ++i) {
    if (!s.ps[i].queue.empty()) return true;
  }
  return false;
}

processor* grab_idle_p() noexcept {
  scheduler& s = the_scheduler;
  if (s.idle_ps.load(mo::relaxed) == 0) return nullptr;
  platform::lock_guard guard(s.lock);
  return pop_idle_p(s);
}

void pass_p_on(machine* m, processor* p, machine* to) noexcept {
  stop_spinning(m, true);
  m->baton.give_away();
  m->p.store(nullptr, mo::relaxed);
  m->expects_p = true;
  hand_p(to, p, false);
}

void wake_for_work() noexcept {
  scheduler& s = the_scheduler;
  platform::full_fence();  // publish, then look; pairs with the fence in find_work()
  if (s.idle_ps.load(mo::relaxed) == 0) return;
  int none = 0;
  if (s.spinning.load(mo::relaxed) != 0 || !s.spinning.compare_exchange_strong(none, 1, mo::seq_cst, mo::relaxed)) {
    return;
  }
  // With a single P the sleeper in the poller is the one to wake: any other M would run while that one
  // sleeps on, and every descriptor that gets ready would then wake a thread that has no P.
  if (s.procs.load(mo::relaxed) == 1 && s.polling.load(mo::seq_cst)) {
    s.spinning.fetch_sub(1, mo::seq_cst);
    wake_poller();
    return;
  }
  processor* p;
  {
    platform::lock_guard guard(s.lock);
    p = pop_idle_p(s);
    // Under the lock: who publishes an idle P after this, and looks, must not rely on a spinner that
    // never will be.
    if (p == nullptr) s.spinning.fetch_sub(1, mo::seq_cst);
  }
  if (p != nullptr) start_m(p, true);
}

bool take_idle_p(machine* m) noexcept {
  scheduler& s = the_scheduler;
  if (s.idle_ps.load(mo::relaxed) == 0) {
    // Only a hint; who depends on the answer queues its work first and then wakes somebody.
    platform::full_fence();
    if (s.idle_ps.load(mo::relaxed) == 0) return false;
  }
  processor* p;
  {
    platform::lock_guard guard(s.lock);
    p = s.closing ? nullptr : pop_idle_p(s);
  }
  if (p == nullptr) return false;
  adopt(m, p);
  return true;
}

namespace {

// Nobody sleeps in the poller, but somebody should: sends one there, by way of an idle P.
void want_poller() noexcept {
  scheduler& s = the_scheduler;
  processor* p;
  {
    platform::lock_guard guard(s.lock);
    if (!s.has_ps.load(mo::relaxed) || s.closing || s.polling.load(mo::relaxed)) return;
    p = pop_idle_p(s);
  }
  if (p != nullptr) start_m(p, false);
}

}  // namespace

void put_idle(processor* p) noexcept {
  scheduler& s = the_scheduler;
  bool all;
  {
    platform::lock_guard guard(s.lock);
    push_idle_p(s, p);
    all = s.idle_ps.load(mo::relaxed) >= s.procs.load(mo::relaxed);
  }
  platform::full_fence();
  // The last one, and nobody polls: somebody has to. hand_off() looks without the lock, and two that
  // hand off at once do not see each other.
  if (all && !s.polling.load(mo::relaxed)) {
    want_poller();
  } else {
    break_poll_before(p->timers.earliest());
  }
  // Whoever publishes an idle P looks at all queues afterwards.
  platform::full_fence();
  if (any_queue_has_work()) wake_for_work();
}

void change_procs(int n) noexcept {
  scheduler& s = the_scheduler;
  {
    platform::lock_guard guard(s.lock);
    // P by P: off the list, and on again if it counts under the new number. Retired Ps that are idle
    // come back so when the number grows.
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

void hand_off(processor* p) noexcept {
  scheduler& s = the_scheduler;
  const bool retired = p->index >= static_cast<std::uint32_t>(s.procs.load(mo::relaxed));
  // The last busy P, and nobody waits in the poller: somebody has to.
  const bool nobody_polls =
      !s.polling.load(mo::seq_cst) && s.idle_ps.load(mo::relaxed) == s.procs.load(mo::relaxed) - 1;
  if (!retired && (work_waits(p) || nobody_polls)) {
    start_m(p, false);
  } else {
    put_idle(p);
  }
}

void break_poll_before(std::int64_t when) noexcept {
  scheduler& s = the_scheduler;
  if (when == platform::forever_ns) return;
  platform::full_fence();  // timer, then look; pairs with the fence in find_work()
  if (!s.polling.load(mo::relaxed)) {
    want_poller();
    return;
  }
  if (const std::int64_t until = s.poll_until.load(mo::relaxed); until != 0 && until <= when) return;
  wake_poller();
}

fiber* find_work(machine* m) noexcept {
  scheduler& s = the_scheduler;
  processor* p = m->my_p();
  if (p->index >= static_cast<std::uint32_t>(s.procs.load(mo::relaxed))) {  // this P has been retired
    m->baton.give_away();
    m->p.store(nullptr, mo::relaxed);
    stop_spinning(m, false);
    put_idle(p);  // which drains it
    return nullptr;
  }

  fiber_list readied;
  run_all_due_timers(p, readied);
  if (!readied.empty()) push_local_all(p, static_cast<fiber_list&&>(readied));
  if (fiber* const f = pick(m, p)) {
    stop_spinning(m, true);
    if (!p->queue.empty()) wake_for_work();
    return f;
  }
  if (m->my_p() == nullptr) return nullptr;  // it went to a fiber in place

  poller* const source = s.source.load(mo::acquire);
  const bool alone = s.procs.load(mo::relaxed) == 1;
  // With one P the blocking poll below finds the same, in one system call instead of two.
  if (!alone) {
    if (!s.polling.load(mo::relaxed) && !s.someone_polls_now.exchange(true, mo::acquire)) {
      source->poll(0, readied);
      s.polls.fetch_add(1, mo::relaxed);
      s.last_poll_ticks.store(platform::ticks(), mo::relaxed);
      s.someone_polls_now.store(false, mo::release);
      if (!readied.empty()) {
        fiber* const f = readied.pop_front();
        push_local_all(p, static_cast<fiber_list&&>(readied));
        stop_spinning(m, true);
        if (!p->queue.empty()) wake_for_work();
        return f;
      }
    }
    // Look around for a while, if not half of the busy Ps do so already.
    const int busy = s.procs.load(mo::relaxed) - s.idle_ps.load(mo::relaxed);
    if (m->spinning || 2 * s.spinning.load(mo::relaxed) < busy) {
      if (!m->spinning) {
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
          return f;
        }
        // Ever longer pauses: each look takes cache lines away from those who work.
        for (int i = 0; i < pauses; ++i) platform::cpu_relax();
        pauses = std::min(2 * pauses, limits::spin_pauses_max);
      } while (platform::ticks() < until && s.procs.load(mo::relaxed) > s.idle_ps.load(mo::relaxed) + 1);
    }
  }

  // Nothing: give up the P, and decide, in one critical section, where to sleep.
  bool polls = false;
  {
    platform::lock_guard guard(s.lock);
    if (shared_work_waits()) return nullptr;  // pick() takes it at the next round
    m->baton.give_away();
    m->p.store(nullptr, mo::relaxed);
    push_idle_p(s, p);
    if (s.closing) {
      // Not to sleep: wait_for_p() ends it.
    } else if (!s.polling.load(mo::relaxed)) {
      polls = true;
      s.poll_until.store(0, mo::relaxed);
      s.polling.store(true, mo::seq_cst);
    } else {
      push_idle_m(s, m);
    }
  }
  m->polling = polls;
  m->baton.leave(place::idle);
  stop_spinning(m, false);
  if (!polls) break_poll_before(p->timers.earliest());
  platform::full_fence();  // publish the idle P, then look; pairs with wake_for_work()
  if (any_queue_has_work()) wake_for_work();
  return nullptr;
}

void close_machines(bool closing) noexcept {
  scheduler& s = the_scheduler;
  {
    platform::lock_guard guard(s.lock);
    s.closing = closing;
    if (!closing) return;
    while (machine* const m = pop_idle_m(s)) hand_p(m, nullptr, false);
  }
  wake_poller();  // who is to sleep there was chosen before; a wake that comes first is kept
}

bool wait_for_p(machine* m) noexcept {
  scheduler& s = the_scheduler;
  if (m->polling) {
    sleep_polling(m);
    return true;
  }
  if (!m->queued_idle) {
    // A new thread, or one whose fiber went to `returning`: it may take an idle P itself.
    if (take_idle_p(m)) return true;
    platform::lock_guard guard(s.lock);
    if (s.closing) {
      m->baton.leave(place::idle);
      s.threads.fetch_sub(1, mo::relaxed);
      return false;
    }
    if (s.idle_p_list != nullptr) return true;  // try again
    push_idle_m(s, m);
    m->baton.leave(place::idle);
  }
  return sleep_idle(m);
}

}  // namespace baton::sched
