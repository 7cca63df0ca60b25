// Prediction at entry, training at exit. What a site knows, and how it learns, is in sched/call_site.h.
//
// A call is timed when it handed over at entry, and one time in 64 otherwise; long means at least
// long_call_ns, which is about what a hand-over costs everybody together. A call whose P had to be taken
// by the monitor was long, whatever the clock says.
#include <baton/syscall/blocking.h>

#include <baton/sched/platform/clock.h>

namespace baton::detail {

namespace {
constexpr std::int64_t long_call_ns = 20'000;
constexpr std::uint32_t time_every = 64;
}  // namespace

call_scope::call_scope(sched::call_site& site) noexcept {
  sched::machine* const m = sched::this_machine();
  if (m == nullptr) return;
  sched::fiber* const f = m->my_fiber();
  if (f->syscall_depth++ != 0) return;
  site_ = &site;
  switch (site.expect()) {
    case sched::call_site::verdict::is_short:
      if (++m->short_calls % time_every == 0) began_ = sched::platform::ticks();
      m->baton.begin_syscall();
      return;
    case sched::call_site::verdict::blocks:
      began_ = sched::platform::ticks();
      sched::begin_call(m, sched::handoff_cause::predicted);
      return;
    case sched::call_site::verdict::unknown:
      began_ = sched::platform::ticks();
      sched::begin_call(m, sched::handoff_cause::unknown);
      return;
  }
}

call_scope::call_scope(will_block_t) noexcept {
  sched::machine* const m = sched::this_machine();
  if (m == nullptr) return;
  if (m->my_fiber()->syscall_depth++ == 0) sched::begin_call(m, sched::handoff_cause::hinted);
}

void call_scope::finish_and_learn() noexcept {
  const std::uint64_t took = began_ != 0 ? sched::platform::ticks() - began_ : 0;
  sched::machine* const m = sched::this_machine();
  m->my_fiber()->syscall_depth = 0;
  const bool lost = !m->baton.end_syscall() && sched::end_call_slow();
  if (began_ != 0) {
    site_->learn(took >= sched::platform::ticks_of_ns(long_call_ns));
  } else if (lost) {
    site_->learn(true);
  }
}

}  // namespace baton::detail
