// When a visit in user code is worth a rescue.
//
// A fiber that blocks its thread, or computes, without telling the scheduler keeps its P from the other fibers. The
// monitor may take the P from user code by the same protocol as from a declared call (baton_word.h: user code touches
// no P). The fiber finds out at its next call. Ps must not be taken needlessly, because each rescue puts one more
// thread on the CPUs:
//
//   age        Only sweeps that came on time count (sweep.cc). So after SIGSTOP, in a debugger, or in a throttled
//              cgroup, no visit looks old.
//   blocked    Over the last part of the visit the thread has neither used a CPU nor waited for one, and it does not
//              wait for one now (the kernel adds a wait for a CPU to the thread's run delay only when the wait ends).
//              The P is of no use to it. The P is
//              always taken.
//   starved    The thread has waited for a CPU nearly all the time. Another thread would wait there too. The P is left
//              to it, up to ten times as long.
//   computing  The P is taken, so that the others get their share of the CPU. The first fibers that compute, as many as
//              there are Ps, lose their P after one allowance (rescue_after). Each further one loses its P when it has
//              computed for one allowance more
//              than the one before. From the ninth further one on (hogs_beside) it takes longer still: otherwise a
//              program that computes all the time would get ever more threads. The fiber does not keep the P for ever,
//              because it may spin until another fiber does something, and that other fiber may need this P. A log line
//              names these fibers
//              (say_if_crowded()).
//   calling    The fiber computes and makes calls in between, none of which may switch (a loop of go() or
//              event::set()). So it neither handles the end of its slice nor stays at one visit. It has used CPU for
//              half an allowance since it was told (by the clock alone, a fiber in a throttled group would look the
//              same). It has made three calls since it was told: a host that takes the CPU away counts that time as the
//              thread's own, and a thread stopped that way within a call that switches has ended one visit, too, by the
//              time of the next sweep. The P cannot be taken. The M gives it up itself at its next call, and the fiber
//              is then one that computes (machine.cc).
//   rate       For all rescues together: some at once, then one per millisecond.
//
// After the P of a fiber was taken, the monitor keeps checking what the fiber does until the fiber makes a call that
// waits for a P. The fiber counts as computing as long as its thread uses the CPU or waits for one, whatever it was
// rescued for: a fiber that computed once and now sleeps in a call does not count; a fiber that slept and now computes
// does. A computing fiber is told that its slice is over, so that it waits for a P at its next call that may switch,
// even if that call finds nothing to wait for (slice_notice.h). A sleeping fiber is not told, because all other fibers
// would have to check their notices as long as its notice is not handled.
//
// The thread's CPU clock and its run delay are read only for a suspect, twice: in the middle of the allowance and at
// its end. Its state is read once. None of this takes the lock of the process's memory map, on which a thread that
// faults might sleep.
#include <baton/sched/rescue.h>

#include <baton/sched/durations.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/machine_table.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/rescue_report.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace baton::sched {

rescue_policy::verdict rescue_policy::judge(const machine& m, std::uint32_t p, const baton_word::visit& v,
                                            std::int64_t age_ns, std::int64_t now_ns, bool told, int procs) noexcept {
  if (age_ns < after_ns_ / 2) return verdict::none;
  sample& s = samples_[p];
  const std::int32_t tid = m.tid.load(mo::relaxed);
  if (s.m != &m || s.visit != v.count) {
    s = {&m, v.count, platform::run_mark::read(tid, now_ns)};
    return verdict::none;
  }
  if (age_ns < after_ns_) return verdict::none;
  const auto now = platform::run_mark::read(tid, now_ns);
  if (s.since.asleep_until(now) && !platform::thread_is_runnable(tid)) {
    return within_rate(now_ns) ? verdict::blocked : verdict::none;
  }
  if (s.since.idle_until(now) && age_ns < baton::detail::saturated_product(10, after_ns_)) return verdict::none;
  // The fiber may yet handle the end of its slice: yield_if_due() begins no visit while there is no notice.
  if (!told) return verdict::none;
  return room_for_a_hog(m, age_ns, procs) && within_rate(now_ns) ? verdict::computing : verdict::none;
}

bool rescue_policy::slice_is_overdue(machine& m, const platform::cpu_mark& told, std::int64_t age_ns,
                                     std::int64_t now_ns, int procs) noexcept {
  if (age_ns < after_ns_) return false;
  const std::int64_t cpu = told.used_until(platform::cpu_mark::read(m.tid.load(mo::relaxed), now_ns));
  if (cpu < after_ns_ / 2 || !room_for_a_hog(m, age_ns, procs) || !within_rate(now_ns)) return false;
  watch(m, true, now_ns);
  return true;
}

void rescue_policy::forget() noexcept {
  for (sample& s : samples_) s.m = nullptr;
}

// ---- fibers that run on without a P ----

void forget_watched_machines() noexcept {
  const std::uint32_t n = machine_count();
  for (std::uint32_t i = 0; i < n; ++i) {
    machine* const m = machine_at(i);
    if (m == nullptr) continue;
    m->watched = false;
    m->baton.clear_slice();
  }
}

void rescue_policy::queue::push(machine& m) noexcept {
  m.next_watched = nullptr;
  (head_ != nullptr ? tail_->next_watched : head_) = &m;
  tail_ = &m;
  ++size_;
}

machine* rescue_policy::queue::pop() noexcept {
  machine* const m = head_;
  if (m == nullptr) return nullptr;
  head_ = m->next_watched;
  --size_;
  return m;
}

void rescue_policy::taken(machine& m, verdict why, std::int64_t now_ns) noexcept {
  watch(m, why == verdict::computing, now_ns);
}

void rescue_policy::watch(machine& m, bool computes, std::int64_t now_ns) noexcept {
  if (m.watched) return;  // it got a P, and lost it, since the last sweep
  m.watched = true;
  m.watched_since = platform::cpu_mark::read(m.tid.load(mo::relaxed), now_ns);
  if (computes) m.baton.tell_without_p();
  (computes ? hogs_ : sleepers_).push(m);
}

void rescue_policy::look_after(std::int64_t now_ns) noexcept {
  left_alone_ = nullptr;
  const int sleepers = std::min(sleepers_.size(), limits::sleepers_a_look);
  for (int n = hogs_.size(); n > 0; --n) look_after(*hogs_.pop(), true, now_ns);
  for (int n = sleepers; n > 0; --n) look_after(*sleepers_.pop(), false, now_ns);
}

// Requires: m was taken out of its queue.
void rescue_policy::look_after(machine& m, bool computed, std::int64_t now_ns) noexcept {
  const place where = m.baton.is_at();
  const bool without =
      (m.baton.notice() & (baton_word::no_p | baton_word::slice_overdue)) != 0;  // or it will have none soon
  if (!without || (where != place::user && where != place::runtime)) {
    m.watched = false;
    if (m.baton.has_no_p()) m.baton.clear_slice();  // it waits for a P
    return;
  }
  const std::int64_t window = now_ns - m.watched_since.at_ns;
  bool computes = computed;
  if (window >= after_ns_) {
    const std::int32_t tid = m.tid.load(mo::relaxed);
    const auto now = platform::cpu_mark::read(tid, now_ns);
    const std::int64_t used = std::exchange(m.watched_since, now).used_until(now);
    // For an M that slept, the state is read only if the thread has run at all, which is cheaper to check.
    computes = 10 * used >= window || ((computed || used > 0) && platform::thread_is_runnable(tid));
    if (computes) {
      m.baton.tell_without_p();
    } else if (computed && m.baton.has_no_p()) {
      m.baton.clear_slice();
    }
  }
  (computes ? hogs_ : sleepers_).push(m);
}

bool rescue_policy::room_for_a_hog(const machine& m, std::int64_t age_ns, int procs) noexcept {
  const int further = std::max(0, hogs_.size() - procs + 1);
  std::int64_t waits_ns = baton::detail::saturated_product(1 + further, after_ns_);
  if (further > limits::hogs_beside) {
    waits_ns = baton::detail::saturated_sum(waits_ns, limits::hog_beyond_waits_ns / (further - limits::hogs_beside));
  }
  if (age_ns >= waits_ns) return true;
  if (further > limits::hogs_beside && age_ns >= baton::detail::saturated_product(1 + limits::hogs_beside, after_ns_))
    left_alone_ = &m;
  return false;
}

void rescue_policy::say_if_crowded(std::int64_t now_ns) noexcept {
  if (left_alone_ == nullptr) return;
  if (crowd_said_ns_ != 0 && now_ns - crowd_said_ns_ < limits::crowd_report_every_ns) return;
  constexpr int named_max = 8;
  char who[named_max * fiber_label_max];
  std::size_t used = 0;
  int computing = 0;
  const machine* m = left_alone_;
  for (const machine* next = hogs_.first(); m != nullptr;
       m = std::exchange(next, next != nullptr ? next->next_watched : nullptr)) {
    const rescued r = describe_rescued(*m, rescued::kind::computed, 0);
    if (r.fiber == 0) continue;
    if (++computing > named_max) continue;
    char label[fiber_label_max];
    label_fiber(r.fiber, r.name, label);
    const int n = std::snprintf(who + used, sizeof who - used, "%s %s", computing > 1 ? "," : "", label);
    if (n > 0) used = std::min(used + static_cast<std::size_t>(n), sizeof who - 1);
  }
  if (computing <= 1) return;
  crowd_said_ns_ = now_ns;
  warn(
      "%d fibers compute and make no call that may switch, and others wait for the CPUs:%s%s. If they wait for what "
      "another fiber does (a flag, a spin lock), use baton's locks, or call baton::this_fiber::yield() in the loop",
      computing, who, computing > named_max ? " and others" : "");
}

bool rescue_policy::within_rate(std::int64_t now_ns) noexcept {
  const std::int64_t earned = (now_ns - tokens_since_ns_) / limits::rescue_every_ns;
  if (earned > 0) {
    tokens_ = static_cast<int>(std::min<std::int64_t>(limits::rescues_at_once, tokens_ + earned));
    tokens_since_ns_ = now_ns;
  }
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

}  // namespace baton::sched
