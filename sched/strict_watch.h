// Strict mode: finds the calls that block a thread undeclared although nothing waits for the thread's P. Only the
// monitor uses it. See strict_watch.cc.
#pragma once

#include <baton/sched/baton_word.h>
#include <baton/sched/limits.h>
#include <baton/sched/machine.h>
#include <baton/sched/platform/thread_state.h>

#include <cstdint>

namespace baton::sched {

class strict_watch {
 public:
  // Switches the mode on. after_ns: how long a thread must be blocked.
  void begin(std::int64_t after_ns) noexcept {
    on_ = true;
    after_ns_ = after_ns;
  }
  [[nodiscard]] bool on() const noexcept { return on_; }
  // Returns how far apart the sweeps should be while some P is busy.
  [[nodiscard]] std::int64_t pace() const noexcept;

  // Machine m, which has P number p, has been at visit v in user code for age_ns (counted in sweeps that came on time).
  // Returns true if the visit is to be reported now: over the last after_ns or more, the thread has been blocked.
  [[nodiscard]] bool is_due(const machine& m, std::uint32_t p, const baton_word::visit& v, std::int64_t age_ns,
                            std::int64_t now_ns) noexcept;
  // This sweep came so late that nothing is known of the time before it.
  void forget() noexcept;

 private:
  struct watched {
    const machine* m = nullptr;
    std::uint64_t visit = 0;
    std::int64_t next_age_ns = 0;  // when it is judged next
    bool suspected = false;        // `since` has been read
    platform::run_mark since;
  };

  bool on_ = false;
  std::int64_t after_ns_ = 0;
  watched watched_[limits::procs_max] = {};
};

}  // namespace baton::sched
