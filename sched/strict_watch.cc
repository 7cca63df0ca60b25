// Without strict mode a call that blocks undeclared is seen only if it harms: when work waits that no idle P serves. A
// test that runs one fiber on many Ps does no harm, so it would not show the mistake. In strict mode each call that
// blocks is reported. Nothing is taken, because nothing waits.
//
//   which visits   those in user code that the rule of the rescues (sweep.cc) leaves alone
//   blocked        As for a rescue (rescue.cc): since the first of two looks the thread has neither used a CPU nor
//                  waited for one, and it does not wait for one now. A fiber that computes is not reported: it does no
//                  harm as long as nothing waits.
//   again          A visit may hold several calls, one after the other. So it is judged again when it is twice as old,
//                  and the report leaves out a place that it has named. A visit that lasts for hours costs few looks.
#include <baton/sched/strict_watch.h>

#include <baton/sched/durations.h>

#include <algorithm>

namespace baton::sched {

std::int64_t strict_watch::pace() const noexcept {
  return std::clamp(after_ns_ / 2, limits::monitor_work_waits_ns, limits::monitor_busy_ns);
}

bool strict_watch::is_due(const machine& m, std::uint32_t p, const baton_word::visit& v, std::int64_t age_ns,
                          std::int64_t now_ns) noexcept {
  watched& w = watched_[p];
  if (w.m != &m || w.visit != v.count) w = {&m, v.count, after_ns_, false, {}};
  if (age_ns < w.next_age_ns - after_ns_ / 2) return false;
  const std::int32_t tid = m.tid.load(mo::relaxed);
  if (!w.suspected) {
    w.suspected = true;
    w.since = platform::run_mark::read(tid, now_ns);
    return false;
  }
  if (age_ns < w.next_age_ns) return false;
  const bool blocked =
      w.since.asleep_until(platform::run_mark::read(tid, now_ns)) && !platform::thread_is_runnable(tid);
  w.suspected = false;
  w.next_age_ns = baton::detail::saturated_sum(age_ns, blocked ? age_ns : after_ns_);
  return blocked;
}

void strict_watch::forget() noexcept {
  for (watched& w : watched_) w.m = nullptr;
}

}  // namespace baton::sched
