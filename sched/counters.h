// A reading of the scheduler's counters. Each counter is exact, but the counters are not read at one moment.
#pragma once

#include <cstdint>

namespace baton::sched {

struct counters {
  std::uint64_t fibers = 0;         // alive
  std::uint64_t fibers_parked = 0;  // of them, neither running nor queued (approximate while they move)
  std::uint64_t spawned = 0;        // ever, by fibers and threads
  std::uint64_t switches = 0, steals = 0;
  std::uint64_t threads = 0;  // Ms alive
  std::uint64_t threads_idle = 0, threads_started = 0, thread_failures = 0;
  std::uint64_t procs = 0, procs_idle = 0;
  std::uint64_t handoffs_predicted = 0, handoffs_unknown = 0, handoffs_hinted = 0;
  std::uint64_t retakes = 0;         // Ps taken by the monitor from declared calls
  std::uint64_t rescues = 0;         // Ps taken from undeclared code, or given up when the slice was overdue
  std::uint64_t strict_reports = 0;  // places of calls that strict mode has seen block undeclared
  std::uint64_t returned_slow = 0;   // calls whose fiber had to queue for a P afterwards
  std::uint64_t slices_ended = 0;    // fibers or chains that used up their time slice
  std::uint64_t polls = 0, timers = 0;
  std::uint64_t stacks = 0, stack_bytes = 0, stacks_unguarded = 0;
  const char* guard = "";    // how new stacks are guarded: "region", "mprotect", "none"
  const char* barrier = "";  // "membarrier", "fence" or "refused"
};

[[nodiscard]] counters read_counters() noexcept;

}  // namespace baton::sched
