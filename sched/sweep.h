// One sweep of the monitor over all Ps: what it sees, which Ps it takes, and what it reports. Internal to sched/. Only
// the monitor's thread uses it. See sweep.cc.
#pragma once

#include <baton/sched/baton_word.h>
#include <baton/sched/call_site.h>
#include <baton/sched/fiber_list.h>
#include <baton/sched/limits.h>
#include <baton/sched/machine.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/processor.h>
#include <baton/sched/rescue.h>
#include <baton/sched/rescue_report.h>
#include <baton/sched/strict_watch.h>

#include <cstdint>

namespace baton::sched {

class sweep {
 public:
  // Visits in user code that last this long are rescued. Without this call none is.
  void rescue_after(std::int64_t ns) noexcept;
  // Strict mode: calls that block undeclared for this long are reported even if nothing waits for their P, and each
  // place is reported once.
  void report_all_blocking_after(std::int64_t ns) noexcept;

  // To be called in this order, once per sweep:

  // passed: the time since the last sweep, as far as it counts. lost: nothing before this sweep counts. refused: a
  // thread is wanted and cannot be had.
  void begin(std::int64_t now, std::int64_t passed, bool lost, bool refused) noexcept;
  void at(processor& p) noexcept;
  // Takes the Ps that at() has chosen. Returns how many.
  int revoke() noexcept;
  // Polls the network if no thread has polled for 1 ms.
  void look_at_the_network() noexcept;
  // Makes runnable what the sweep has readied, or wakes an M for work that waits.
  void finish() noexcept;
  // Last: it reads /proc and looks up symbols.
  void report() noexcept;

  // Returns the time until the oldest visit in user code comes of age, and a little.
  [[nodiscard]] std::int64_t next_rescue_in() const noexcept;
  // While threads are refused: returns the time until the next timer of an idle P, or a regular sweep.
  [[nodiscard]] std::int64_t next_refused_in() const noexcept;
  // Returns the time until the next sweep while some P is busy and no work waits.
  [[nodiscard]] std::int64_t next_busy_in() const noexcept;

  int busy = 0;
  bool work_waiting = false;
  bool new_call = false;  // a declared call was seen for the first time while work waits for its P

 private:
  // How long the sweeps have seen one visit, or one slice, last.
  struct observation {
    machine* m = nullptr;
    baton_word::visit visit;
    std::int64_t visit_since = 0;
    std::int64_t visit_age = 0;  // counted in sweeps that came on time
    platform::cpu_mark call;     // of a declared call that may be at work
    std::uint64_t slice = 0;
    std::int64_t slice_since = 0;
    bool slice_told = false;
    std::uint64_t picks = 0;        // of the P
    platform::cpu_mark told;        // when it was told
    std::uint64_t told_visits = 0;  // visits that the M had begun when it was told
  };
  struct candidate {
    processor* p;
    machine* m;
    baton_word::visit visit;
    rescue_policy::verdict rescue;  // none: a declared call, or a retired P
    call_site* site;                // of the declared call; may be null
    std::int64_t age;
  };

  [[nodiscard]] bool fibers_wait_in_rings() noexcept;
  void observe(observation& o, machine* m, const processor& p, const baton_word::visit& v) noexcept;
  void judge_visit(observation& o, processor& p, bool waits, bool first_sight) noexcept;
  void judge_slice(observation& o, bool waits, bool new_visit) noexcept;
  [[nodiscard]] static bool is_to_be_retaken(const machine& m, observation& o, std::int64_t age,
                                             std::int64_t now) noexcept;
  void tell_slice_over(observation& o) const noexcept;
  void note_refusal() noexcept;
  void revoke_retired(processor& p, machine& m, const baton_word::visit& v, std::int64_t age) noexcept;
  void trace_revoked(const candidate& c) noexcept;
  void describe(const machine& m, rescued::kind what, std::int64_t age) noexcept;

  observation seen_[limits::procs_max];
  std::int64_t now_ = 0;
  std::int64_t passed_ = 0;
  int procs_ = 0;
  bool refused_ = false;                            // a thread is wanted and cannot be had
  bool in_rings_ = false;                           // fibers wait in some ring, and can be stolen
  std::int64_t next_timer_ = platform::forever_ns;  // the earliest timer of the idle Ps
  bool rescue_ = false;
  bool takes_no_more_ = false;
  std::int64_t oldest_ = 0;  // age of the oldest visit in user code while work waits
  rescue_policy rescues_;
  strict_watch strict_;
  static constexpr int reports_a_look = 4;  // one per second is written, or all in strict mode
  int described_ = 0;
  rescued described_rescues_[reports_a_look];
  rescue_reports reports_;
  int count_ = 0;
  candidate candidates_[limits::procs_max];
  fiber_list readied_;
};

}  // namespace baton::sched
