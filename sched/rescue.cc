// When a visit in user code is worth a rescue.
//
// A fiber that blocks its thread, or computes, without a word to the scheduler keeps its P from the
// others. The monitor may take the P from user code by the same protocol as from a declared call
// (baton_word.h: user code touches no P); the fiber finds out at its next call. What must not happen is
// that Ps are taken for nothing, because each rescue puts one more thread on the CPUs:
//
//   age        only looks that came on time count (sweep.cc), so after SIGSTOP, in a debugger, or in a
//              cgroup that is throttled nobody looks old
//   blocked    over the last part of the visit the thread has neither used CPU nor waited for one, and it
//              does not wait for one now (the run delay counts a wait only when it is over): its P is of
//              no use to it. Always relieved
//   starved    it has waited for a CPU nearly all the time: another thread would wait there too. Left alone,
//              up to ten times as long
//   computing  relieved, so that others get their share of the CPU. As many at a time as there are Ps at once;
//              each further one when it has computed for one allowance more than the one before; from the ninth
//              further one on (hogs_beside) for longer still, or a program that computes all the time would get ever
//              more threads. It is not left alone for ever: it may spin for what another fiber does, and that one
//              may need the last P. A line says who they are (say_if_crowded())
//   calling    it computes, and makes calls between, none of which may switch, so it neither heeds the end of its
//              slice nor stays at one visit (a loop of go() or event::set()), and has used CPU since for half an
//              allowance (by the clock alone a throttled group would look like it). It has made three calls since it
//              was told: a host that takes the CPU away counts that time as the thread's own, and a thread stopped
//              so within a call that switches has ended one visit, too, when it is looked at again. The P cannot be
//              taken: it gives it up itself at its next call, and is then one that computes (machine.cc)
//   rate       of all together: some at once, then one a millisecond
//
// What a fiber does after its P was taken is looked at again, until it comes to a call that waits for a P. It is one
// that computes as long as its thread uses the CPU, or waits for one; whatever it was taken for: who computed once
// and now sleeps in a call does not count, and who slept and now computes does. One that computes is told that its
// slice is over, so that it waits for a P at the next call that may switch, also where that finds nothing to wait
// for (slice_notice.h); one that sleeps is not, because the others would heed in vain.
//
// The thread's CPU clock and its run delay are read for the suspect alone, twice: in the middle of the
// allowance and at its end; its state once. None of this takes the lock of the process's memory map, on
// which a thread that faults might sleep.
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
    s = {&m, v.count, now_ns, platform::thread_cpu_ns(tid), platform::thread_run_delay_ns(tid)};
    return verdict::none;
  }
  if (age_ns < after_ns_) return verdict::none;
  const std::int64_t window = std::max<std::int64_t>(1, now_ns - s.at_ns);
  const std::int64_t cpu = platform::thread_cpu_ns(tid) - s.cpu_ns;
  const std::int64_t delay = platform::thread_run_delay_ns(tid) - s.delay_ns;
  const bool idle = 10 * cpu < window;
  if (idle && 10 * delay < window && !platform::thread_is_runnable(tid)) {
    return within_rate(now_ns) ? verdict::blocked : verdict::none;
  }
  if (idle && age_ns < baton::detail::saturated_product(10, after_ns_)) return verdict::none;
  // It may yet heed the end of its slice: yield_if_due() is no visit.
  if (!told) return verdict::none;
  return room_for_a_hog(m, age_ns, procs) && within_rate(now_ns) ? verdict::computing : verdict::none;
}

bool rescue_policy::slice_is_overdue(machine& m, std::int64_t told_cpu_ns, std::int64_t age_ns, std::int64_t now_ns,
                                     int procs) noexcept {
  if (age_ns < after_ns_) return false;
  const std::int64_t cpu = platform::thread_cpu_ns(m.tid.load(mo::relaxed)) - told_cpu_ns;
  if (cpu < after_ns_ / 2 || !room_for_a_hog(m, age_ns, procs) || !within_rate(now_ns)) return false;
  watch(m, true, now_ns);
  return true;
}

void rescue_policy::forget() noexcept {
  for (sample& s : samples_) s.m = nullptr;
}

// ---- those that go on without a P ----

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
  if (m.watched) return;  // it got a P, and lost it, since the last look
  m.watched = true;
  m.watched_at = now_ns;
  m.watched_cpu_ns = platform::thread_cpu_ns(m.tid.load(mo::relaxed));
  if (computes) m.baton.tell_without_p();
  (computes ? hogs_ : sleepers_).push(m);
}

void rescue_policy::look_after(std::int64_t now_ns) noexcept {
  left_alone_ = nullptr;
  const int sleepers = std::min(sleepers_.size(), limits::sleepers_a_look);
  for (int n = hogs_.size(); n > 0; --n) look_after(*hogs_.pop(), true, now_ns);
  for (int n = sleepers; n > 0; --n) look_after(*sleepers_.pop(), false, now_ns);
}

// m was taken out of its queue.
void rescue_policy::look_after(machine& m, bool computed, std::int64_t now_ns) noexcept {
  const place where = m.baton.is_at();
  const bool without = (m.baton.notice() & (baton_word::no_p | baton_word::slice_overdue)) != 0;  // or soon
  if (!without || (where != place::user && where != place::runtime)) {
    m.watched = false;
    if (m.baton.has_no_p()) m.baton.clear_slice();  // it waits for one
    return;
  }
  const std::int64_t window = now_ns - m.watched_at;
  bool computes = computed;
  if (window >= after_ns_) {
    const std::int32_t tid = m.tid.load(mo::relaxed);
    const std::int64_t cpu = platform::thread_cpu_ns(tid);
    const std::int64_t used = cpu - std::exchange(m.watched_cpu_ns, cpu);
    m.watched_at = now_ns;
    // One that slept is asked for the rest only if it has run at all, which is cheaper to see.
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
    const rescued r = describe_rescued(*m, true, 0);
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
