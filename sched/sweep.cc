// What the monitor does at each sweep.
//
// For each P that is not idle:
//   visit in syscall    The same visit in two sweeps, at least 20 us old, its thread blocked or at work, and work
//                       waits that no idle or spinning M serves; or 10 ms old and work waits: retake. A thread that
//                       only waits for a CPU keeps its P until then: a short call ends as soon as the thread gets a
//                       CPU, and another thread would wait there, too. Work that waits in the ring of another P
//                       counts, too: the M that gets the P steals it. That P's own fiber may run on for long.
//   visit in user code  10 ms old (option rescue_after), and work waits that no idle or spinning M serves:
//                       rescue, with a report (rescue.cc says when not). In strict mode a visit that is left alone
//                       is reported, too, if its thread is blocked (strict_watch.cc).
//   same slice          One fiber or runnext chain for 10 ms, or by the next sweep, while others wait: tell
//                       `slice_over`, which the M handles at its next call that may switch. An M whose visit is
//                       nearly due for a rescue is told so, too. Not handled for another 10 ms (rescue_after)
//                       although the fiber makes calls: tell `slice_overdue`, which the M handles at any call
//                       (rescue.cc, "calling").
//   timers              More than 1 ms overdue: run them; their fibers go to the global queue. While no thread can be
//                       had, the timers of idle Ps are run as soon as they are due.
//   retired P           (procs was lowered) Taken from user code and from calls alike.
// Once per sweep: poll the network if no thread has for 1 ms. Wake an M if work waits and a P is idle (the backstop for
// a thread that could not be started). Start the threads that are wanted. While threads are refused, put what lies with
// idle Ps where every M finds it (idle.cc). Once a second, see how many CPUs there are (lifecycle.cc).
//
// Revoking follows baton_word.h: judge all, ask all candidates, one heavy fence, take each. The monitor is the only
// revoker: set_procs leaves the Ps that must go to it.
//
// The fence may fail: a process may forbid itself membarrier(2) while it runs. Then nothing is known of the Ms, so no M
// that was asked loses its P. If the fence is refused for good, a log line says so, and nothing is taken any more:
//   declared calls      They hand their P over at entry, whatever their site has learnt (declared_call.cc). A call that
//                       had kept its P before the refusal keeps it until its end.
//   a retired P         Its M is told `slice_overdue` and gives the P up at its next call.
//   undeclared code     Code that blocks keeps its P. Code that makes calls is told `slice_overdue`, as always.
//
// The age of a visit in user code is counted in sweeps: each adds the time since the last one, but not much more than
// the time that was planned. A visit that began between two sweeps is taken to have begun half way.
#include <baton/sched/sweep.h>

#include <baton/sched/durations.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/asymmetric_fence.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/scheduler.h>

#include <algorithm>

namespace baton::sched {

namespace {

bool somebody_serves() noexcept {
  const scheduler& s = the_scheduler;
  return s.spinning.load(mo::relaxed) > 0 || s.idle_ps.load(mo::relaxed) > 0;
}

}  // namespace

void sweep::rescue_after(std::int64_t ns) noexcept {
  rescues_.set_after(ns);
  rescue_ = true;
}

void sweep::report_all_blocking_after(std::int64_t ns) noexcept {
  strict_.begin(ns);
  reports_.once_per_place();
}

void sweep::begin(std::int64_t now, std::int64_t passed, bool lost, bool refused) noexcept {
  now_ = now;
  refused_ = refused;
  next_timer_ = platform::forever_ns;
  passed_ = passed;
  procs_ = the_scheduler.procs.load(mo::relaxed);
  if (lost) {
    rescues_.forget();
    strict_.forget();
  }
  if (rescue_) rescues_.look_after(now);
  in_rings_ = fibers_wait_in_rings();
  busy = 0;
  work_waiting = new_call = false;
  oldest_ = 0;
  count_ = described_ = 0;
}

// A fiber in runnext counts only if its P has picked nothing since the last sweep. Otherwise the P runs it at once, and
// no thief takes it (queues.cc).
bool sweep::fibers_wait_in_rings() noexcept {
  bool any = false;
  const int n = the_scheduler.procs_ever.load(mo::acquire);
  for (int i = 0; i < n; ++i) {
    const processor& p = the_scheduler.ps[i];
    const std::uint64_t picks = p.picks();
    any = any || p.queue.ring_size() > 0 || (p.queue.has_next() && picks == seen_[i].picks);
    seen_[i].picks = picks;
  }
  return any;
}

void sweep::at(processor& p) noexcept {
  observation& o = seen_[p.index];
  const bool idle = p.idle.load(mo::relaxed);
  if (now_ - p.timers.earliest() > (idle && refused_ ? 0 : limits::timer_overdue_ns)) {
    run_due_timers(&p, now_, readied_);
  }
  if (idle) {
    next_timer_ = std::min(next_timer_, p.timers.earliest());
    o.m = nullptr;
    return;
  }
  ++busy;
  const bool waits = work_waits(&p);
  if (waits) work_waiting = true;
  machine* const m = p.m.load(mo::acquire);
  if (m == nullptr) return;
  const baton_word::visit v = m->baton.judge();
  if (m->my_p() != &p) return;  // a hint: revoke() checks it again
  const bool first_sight = o.m != m;
  const bool new_visit = first_sight || !(o.visit == v);
  observe(o, m, p, v);
  const bool waits_for_call = v.where == place::syscall && (waits || in_rings_);
  if (waits_for_call && new_visit) new_call = true;
  judge_visit(o, p, waits || waits_for_call, first_sight);
  judge_slice(o, waits, new_visit);
}

void sweep::observe(observation& o, machine* m, const processor& p, const baton_word::visit& v) noexcept {
  if (o.m != m || !(o.visit == v)) {
    o.visit = v;
    o.visit_since = now_;
    o.visit_age = passed_ / 2;
    o.call = {};
  } else {
    o.visit_age += passed_;
  }
  const std::uint64_t slice = p.picks() - p.chained.read();
  if (o.m != m || o.slice != slice) {
    o.slice = slice;
    o.slice_since = now_;
    o.slice_told = false;
  }
  o.m = m;
}

// Decides whether the P is to be taken.
void sweep::judge_visit(observation& o, processor& p, bool waits, bool first_sight) noexcept {
  machine& m = *o.m;
  const baton_word::visit& v = o.visit;
  const std::int64_t age = now_ - o.visit_since;
  if (p.index >= static_cast<std::uint32_t>(procs_)) {
    if (!first_sight || v.where == place::user) revoke_retired(p, m, v, age);
  } else if (v.where == place::syscall) {
    if (!takes_no_more_ && !first_sight && waits && is_to_be_retaken(m, o, age, now_)) {
      // `call` is written before the visit begins, and not again before it ends: if the P can be taken, the site is
      // that of this call (or, very rarely, of the next one).
      candidates_[count_++] = {&p, &m, v, rescue_policy::verdict::none, m.call.load(mo::relaxed), age};
    }
  } else if (v.where == place::user && waits && rescue_ && !somebody_serves()) {
    oldest_ = std::max(oldest_, o.visit_age);
    const auto verdict = takes_no_more_ ? rescue_policy::verdict::none
                                        : rescues_.judge(m, p.index, v, o.visit_age, now_, o.slice_told, procs_);
    if (verdict != rescue_policy::verdict::none) candidates_[count_++] = {&p, &m, v, verdict, nullptr, o.visit_age};
    if (o.visit_age >= rescues_.after() - limits::monitor_work_waits_ns) tell_slice_over(o);
  } else if (v.where == place::user && strict_.on() && described_ < reports_a_look &&
             strict_.is_due(m, p.index, v, o.visit_age, now_)) {
    describe(m, rescued::kind::left_alone, o.visit_age);
  }
}

// Decides whether the fiber is to give way.
void sweep::judge_slice(observation& o, bool waits, bool new_visit) noexcept {
  machine& m = *o.m;
  const std::int64_t since_end = now_ - o.slice_since - limits::time_slice_ns;
  if (!waits || since_end < -limits::monitor_work_waits_ns) return;
  if (!o.slice_told) {
    tell_slice_over(o);
  } else if (!m.baton.slice_is_over()) {  // handled, but no other fiber was there to give way to
    o.slice_told = false;
    o.slice_since = now_;
  } else if (new_visit && o.visit.count - o.told_visits >= limits::overdue_calls && o.visit.where == place::user &&
             rescue_ && !somebody_serves() && rescues_.slice_is_overdue(m, o.told, since_end, now_, procs_)) {
    m.baton.tell(baton_word::slice_overdue);
    describe(m, rescued::kind::computed, since_end + limits::time_slice_ns);
    o.slice_since = now_;
  }
}

int sweep::revoke() noexcept {
  if (count_ == 0) return 0;
  int asked = 0;
  for (int i = 0; i < count_; ++i) {
    if (candidates_[i].m->baton.ask()) candidates_[asked++] = candidates_[i];
  }
  if (!platform::heavy_fence()) {  // pairs with the light fences of enter and end_syscall
    for (int i = 0; i < asked; ++i) candidates_[i].m->baton.withdraw();
    note_refusal();
    return 0;
  }
  int taken = 0;
  for (int i = 0; i < asked; ++i) {
    const candidate& c = candidates_[i];
    // The M's P cannot change during a visit. If it is p after the fence, it is p for all of the visit.
    if (!c.m->baton.take(c.visit, c.m->my_p() == c.p)) continue;
    c.m->baton.clear_slice();
    ++taken;
    if (trace::on()) trace_revoked(c);
    seen_[c.p->index].m = nullptr;
    if (c.rescue == rescue_policy::verdict::none) {
      the_scheduler.retakes.fetch_add(1, mo::relaxed);
      if (c.site != nullptr) c.site->was_retaken();
    } else {
      the_scheduler.rescues.fetch_add(1, mo::relaxed);
      rescues_.taken(*c.m, c.rescue, now_);
      const bool computed = c.rescue == rescue_policy::verdict::computing;
      describe(*c.m, computed ? rescued::kind::computed : rescued::kind::blocked, c.age);
    }
    handoff_p(c.p);
  }
  return taken;
}

void sweep::trace_revoked(const candidate& c) noexcept {
  const bool computes = c.rescue == rescue_policy::verdict::computing;
  const bool retired = c.p->index >= static_cast<std::uint32_t>(procs_);
  const auto how = c.rescue != rescue_policy::verdict::none
                       ? (computes ? trace::revoked::computing : trace::revoked::blocked)
                       : (retired ? trace::revoked::retired : trace::revoked::retaken);
  trace::record_by_monitor(
      {.what = trace::kind::p_revoked, .detail = static_cast<std::uint8_t>(how), .subject = c.m->index}, c.p);
}

void sweep::look_at_the_network() noexcept {
  scheduler& s = the_scheduler;
  const std::uint64_t t = platform::ticks();
  if (s.polling.load(mo::relaxed) ||
      t - s.last_poll_ticks.load(mo::relaxed) < platform::ticks_of_ns(limits::poll_gap_monitor_ns) ||
      s.someone_polls_now.exchange(true, mo::acquire)) {
    return;
  }
  s.source.load(mo::acquire)->poll(0, readied_);
  s.polls.fetch_add(1, mo::relaxed);
  s.last_poll_ticks.store(t, mo::relaxed);
  s.someone_polls_now.store(false, mo::release);
  if (trace::on() && !readied_.empty()) {
    trace::record_by_monitor({.what = trace::kind::poll, .extra = static_cast<std::uint32_t>(readied_.size())},
                             nullptr);
  }
}

void sweep::finish() noexcept {
  if (!readied_.empty()) {
    make_runnable_all(nullptr, static_cast<fiber_list&&>(readied_));
    work_waiting = true;  // for the next sweep: it may wait behind a call that was expected to be short
  } else if (work_waiting) {
    wake_for_work();
  }
}

bool sweep::is_to_be_retaken(const machine& m, observation& o, std::int64_t age, std::int64_t now) noexcept {
  if (age >= limits::retake_at_the_latest_ns) return true;
  if (age < limits::retake_after_ns || somebody_serves()) return false;
  const std::int32_t tid = m.tid.load(mo::relaxed);
  if (!platform::thread_is_runnable(tid)) return true;
  const auto at = platform::cpu_mark::read(tid, now);
  if (o.call.cpu_ns >= 0 && 2 * o.call.used_until(at) >= o.call.time_until(at)) return true;
  o.call = at;
  return false;
}

void sweep::tell_slice_over(observation& o) const noexcept {
  if (o.slice_told) return;
  if (!o.m->baton.tell_slice_over()) return;  // the M has just given its P away
  o.slice_told = true;
  if (trace::on()) trace::record_by_monitor({.what = trace::kind::slice_told, .subject = o.m->index}, nullptr);
  o.told = platform::cpu_mark::read(o.m->tid.load(mo::relaxed), now_);
  o.told_visits = o.visit.count;
}

// There can be no heavy fence now. If it is refused, there never will be one again.
void sweep::note_refusal() noexcept {
  if (takes_no_more_ || platform::barriers() != platform::barrier_kind::refused) return;
  takes_no_more_ = true;
  the_scheduler.kept_calls_differ.fetch_or(scheduler::takes_no_more, mo::relaxed);
  warn(
      "this process has forbidden itself membarrier(2): no processor is taken any more from a fiber that blocks or "
      "computes undeclared, and declared calls always hand theirs over");
}

// The P must go. If it cannot be taken, its M gives it up at its next call of any kind.
void sweep::revoke_retired(processor& p, machine& m, const baton_word::visit& v, std::int64_t age) noexcept {
  if (v.where != place::user && v.where != place::syscall) return;
  if (!takes_no_more_) {
    candidates_[count_++] = {&p, &m, v, rescue_policy::verdict::none, nullptr, age};
  } else if (m.baton.tell_slice_over()) {
    m.baton.tell(baton_word::slice_overdue);
  }
}

void sweep::describe(const machine& m, rescued::kind what, std::int64_t age) noexcept {
  if (described_ < reports_a_look) described_rescues_[described_++] = describe_rescued(m, what, age);
}

std::int64_t sweep::next_rescue_in() const noexcept {
  if (oldest_ == 0 || oldest_ >= rescues_.after()) return platform::forever_ns;
  return baton::detail::saturated_sum(rescues_.after() - oldest_, 20'000);
}

void sweep::report() noexcept {
  for (int i = 0; i < described_; ++i) static_cast<void>(reports_.report(described_rescues_[i], now_));
  rescues_.say_if_crowded(now_);
}

std::int64_t sweep::next_refused_in() const noexcept {
  return std::clamp<std::int64_t>(next_timer_ - now_, limits::monitor_work_waits_ns / 8, limits::monitor_work_waits_ns);
}

std::int64_t sweep::next_busy_in() const noexcept { return strict_.on() ? strict_.pace() : limits::monitor_busy_ns; }

}  // namespace baton::sched
