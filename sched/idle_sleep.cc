// How Ms that found nothing sleep, without a P, and how they end. idle.cc says where each of them goes.
//
// At most one M sleeps in the poller; the others sleep on their own futex. The sleeper in the poller also looks after
// the timers. It wakes at the moment when those of the idle Ps are due, which no other thread runs. It also covers
// those of the busy Ps, because a fiber that computes runs none. A busy P mostly runs its timers itself, at one of its
// picks, so the sleeper comes a little after they were due. If it came for nothing, it comes later the next time: a P
// that runs many timers in time must not wake a thread for each of them.
//
// Such a wake for nothing ends in the poller again, without a P, and it tells no other thread: poll_until := 0 (not
// known), fence, read all heaps, as at first (see the head comment of idle.cc).
#include <baton/sched/durations.h>
#include <baton/sched/handoff.h>
#include <baton/sched/idle.h>

#include <algorithm>

namespace baton::sched {

namespace {

// The earliest timer that the sleeper in the poller is there for. Those of busy Ps count as slack_ns later.
std::int64_t earliest_timer(std::int64_t slack_ns) noexcept {
  std::int64_t when = platform::forever_ns;
  for (int i = 0; i < the_scheduler.procs_ever.load(mo::acquire); ++i) {
    const processor& p = the_scheduler.ps[i];
    std::int64_t its = p.timers.earliest();
    if (its == platform::forever_ns) continue;
    if (!p.idle.load(mo::relaxed)) its = baton::detail::saturated_sum(its, slack_ns);
    when = std::min(when, its);
  }
  return when;
}

// Returns true if no descriptor can become ready and no timer is armed: no M need sleep in the poller.
bool nothing_to_sleep_for() noexcept {
  return installed_poller() == nullptr && earliest_timer(0) == platform::forever_ns;
}

// Sleeps on the M's futex. Returns false if the M slept for its whole allowance and is off the list: it should end.
bool sleep_idle(machine* m) noexcept {
  scheduler& s = the_scheduler;
  if (m->expects_p) spin_for_handoff(m);
  m->expects_p = false;
  const std::int64_t give_up = baton::detail::deadline_after_ns(s.idle_thread_ends_after_ns.load(mo::relaxed));
  bool surplus = true;
  while (!await_handoff(m, surplus ? give_up : platform::forever_ns)) {
    platform::lock_guard guard(s.lock);
    if (!m->on_idle_list) continue;  // a P is being handed over now
    surplus = s.threads.load(mo::relaxed) - threads_locked() > s.procs.load(mo::relaxed) + limits::idle_threads_spare;
    if (!surplus) continue;
    unlink_idle_m(s, m);
    m->queued_idle = false;
    leave_handoff(m);
    s.threads.fetch_sub(1, mo::relaxed);  // here: the next M to give up must not count this one
    return false;
  }
  m->queued_idle = false;
  if (m->handed == nullptr) {  // close_machines()
    leave_handoff(m);
    s.threads.fetch_sub(1, mo::relaxed);
    return false;
  }
  m->spinning = m->handed_spinning;
  if (trace::on()) trace::record(m, {.what = trace::kind::wake});
  accept_handoff(m);
  return true;
}

// Sleeps in the poller until there is something to do. Appends what the poller brought to `readied`.
void sleep_in(poller* source, fiber_list& readied) noexcept {
  scheduler& s = the_scheduler;
  std::int64_t slack = limits::busy_timer_slack_ns;
  for (;;) {
    // poll_until is 0 here, and a fence came before.
    const std::int64_t until = earliest_timer(slack);
    s.poll_until.store(until, mo::seq_cst);
    std::int64_t timeout = -1;
    if (until != platform::forever_ns) timeout = std::max<std::int64_t>(0, until - platform::now_ns());
    const int events = source->poll(timeout, readied);
    s.polls.fetch_add(1, mo::relaxed);
    s.last_poll_ticks.store(platform::ticks(), mo::relaxed);
    s.poll_until.store(0, mo::seq_cst);
    if (events != 0 || !readied.empty() || s.ending.load(mo::relaxed)) return;
    const std::int64_t now = platform::now_ns();
    if (now < until || earliest_timer(limits::busy_timer_slack_ns) <= now) return;
    // The time is up, and the timer of a busy P for which the M slept has been run or stopped.
    slack = limits::busy_timer_slack_max_ns;
    platform::full_fence();
  }
}

// Sleeps in the poller, and makes runnable what the poller brought. Afterwards the M has a P if one was idle.
void sleep_polling(machine* m) noexcept {
  scheduler& s = the_scheduler;
  fiber_list readied;
  sleep_in(s.source.load(mo::acquire), readied);
  s.polling.store(false, mo::seq_cst);
  m->polling = false;
  enter_runtime(m);  // the process may be ending
  if (trace::on()) {
    trace::record(m, {.what = trace::kind::wake, .detail = 1});
    trace::polled(m, readied);
  }
  static_cast<void>(acquire_idle_p(m));
  static_cast<void>(run_all_due_timers(m->my_p(), readied));  // no other thread runs those of a retired P
  if (readied.empty()) return;
  if (processor* const p = m->my_p(); p != nullptr && nothing_to_sleep_for()) {
    push_local_all(p, static_cast<fiber_list&&>(readied));  // find_work() comes next; if there is more, it wakes
  } else {
    make_runnable_all(m, static_cast<fiber_list&&>(readied));  // wakes an M, which also sleeps here next
  }
}

}  // namespace

void close_machines(bool closing) noexcept {
  scheduler& s = the_scheduler;
  {
    platform::lock_guard guard(s.lock);
    s.closing = closing;
    if (!closing) return;
    while (machine* const m = pop_idle_m(s)) hand_p(m, nullptr, false);
  }
  wake_poller();  // the M that is to sleep there was chosen before; a wake that comes first is kept
}

bool wait_for_p(machine* m) noexcept {
  scheduler& s = the_scheduler;
  if (m->polling) {
    sleep_polling(m);
    return true;
  }
  if (!m->queued_idle) {
    // This is a new thread, or one whose fiber went to `returning`. It may take an idle P itself.
    if (acquire_idle_p(m)) return true;
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
