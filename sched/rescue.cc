// When a visit in user code is worth a rescue.
//
// A fiber that blocks its thread, or computes, without a word to the scheduler keeps its P from the
// others. The monitor may take the P from user code by the same protocol as from a declared call
// (baton_word.h: user code touches no P); the fiber finds out at its next call. What must not happen is
// that Ps are taken for nothing, because each rescue puts one more thread on the CPUs:
//
//   age        only looks that came on time count (monitor.cc), so after SIGSTOP, in a debugger, or in a
//              cgroup that is throttled nobody looks old
//   blocked    over the last part of the visit the thread has neither used CPU nor waited for one, and it
//              does not wait for one now (the run delay counts a wait only when it is over): its P is of
//              no use to it. Always relieved
//   starved    it has waited for a CPU nearly all the time: another thread would wait there too. Left alone,
//              up to ten times as long
//   computing  relieved, so that others get their share of the CPU. As many at a time as there are Ps at once;
//              each further one when it has computed for one allowance more than the one before, and no more than
//              `hogs_beside` further ones, or a program that computes all the time would get ever more threads
//   calling    it computes, and makes calls between, none of which may switch, so it neither heeds the end of its
//              slice nor stays at one visit (a loop of go() or event::set()), and has used CPU since for half an
//              allowance (by the clock alone a throttled group would look like it). The P cannot be
//              taken: it gives it up itself at its next call, and is then one that computes (machine.cc)
//   rate       of all together: some at once, then one a millisecond
//
// The thread's CPU clock and its run delay are read for the suspect alone, twice: in the middle of the
// allowance and at its end; its state once. None of this takes the lock of the process's memory map, on
// which a thread that faults might sleep.
#include <baton/sched/rescue.h>

#include <baton/sched/durations.h>
#include <baton/sched/platform/thread_state.h>

#include <algorithm>

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
  return room_for_a_hog(age_ns, procs) && within_rate(now_ns) ? verdict::computing : verdict::none;
}

bool rescue_policy::is_overdue(const machine& m, std::int64_t told_cpu_ns, std::int64_t age_ns, std::int64_t now_ns,
                               int procs) noexcept {
  if (age_ns < after_ns_) return false;
  const std::int64_t cpu = platform::thread_cpu_ns(m.tid.load(mo::relaxed)) - told_cpu_ns;
  if (cpu < after_ns_ / 2 || !room_for_a_hog(age_ns, procs) || !within_rate(now_ns)) return false;
  remember_hog(m);
  return true;
}

void rescue_policy::taken(const machine& m, verdict why) noexcept {
  if (why == verdict::computing) remember_hog(m);
}

void rescue_policy::remember_hog(const machine& m) noexcept {
  for (const machine*& h : hogs_) {
    if (h != nullptr && h != &m) continue;
    h = &m;
    return;
  }
}

void rescue_policy::forget() noexcept {
  for (sample& s : samples_) s.m = nullptr;
}

bool rescue_policy::room_for_a_hog(std::int64_t age_ns, int procs) noexcept {
  int at_it = 0;
  for (const machine*& h : hogs_) {
    if (h == nullptr) continue;
    const place where = h->baton.is_at();
    const bool without = (h->baton.notice() & (baton_word::no_p | baton_word::overdue)) != 0;  // or soon
    if (without && (where == place::user || where == place::runtime)) {
      ++at_it;
    } else {
      h = nullptr;  // it has come to a call that waits for a P, or has one
    }
  }
  const int further = std::max(0, at_it - procs + 1);
  return further <= limits::hogs_beside && age_ns >= baton::detail::saturated_product(1 + further, after_ns_);
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
