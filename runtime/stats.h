// Public API: stats(), numbers about the runtime, for monitoring and for tests of a program's effect on it.
#pragma once

#include <cstdint>
#include <string>

namespace baton {

// A reading of the counters. Each one is exact; together they do not belong to one moment, because nothing stops for
// the reading. Counts begin with the start unless stated otherwise.
struct runtime_stats {
  // Fibers.
  std::uint64_t fibers = 0;         // alive now
  std::uint64_t fibers_parked = 0;  // of these, waiting for something now
  std::uint64_t spawned = 0;
  std::uint64_t switches = 0;      // of a thread to its next fiber; looks of a thread that found none count, too
  std::uint64_t steals = 0;        // of runnable fibers by another processor
  std::uint64_t slices_ended = 0;  // fibers, or chains of them, that were told to let others run, and did so

  // Threads and processors.
  std::uint64_t threads = 0;       // of the runtime, now
  std::uint64_t threads_idle = 0;  // of these, asleep for want of work
  std::uint64_t threads_started = 0;
  std::uint64_t thread_failures = 0;  // threads that could not be started
  std::uint64_t procs = 0;            // now
  std::uint64_t procs_idle = 0;       // now

  // Calls that block, and how the processor got away from their thread: handed over at entry by a call that is known to
  // block, by one that is not known yet, or by one that said so; or taken by the monitor from a declared call, or from
  // undeclared code.
  std::uint64_t handoffs_predicted = 0;
  std::uint64_t handoffs_unknown = 0;
  std::uint64_t handoffs_hinted = 0;
  std::uint64_t retakes = 0;
  std::uint64_t rescues = 0;
  // Places of the program, a call with its innermost frames, that strict mode (options::strict_blocking) has found to
  // block undeclared, whether the processor was taken or left alone: a test may demand 0. A place counts once, also if
  // its report could not be written. Always 0 without strict mode.
  std::uint64_t strict_reports = 0;
  std::uint64_t returned_slow = 0;  // calls whose fiber had to wait for a processor afterwards

  // Calls that wait, or have waited, for room in a blocking_gate: in all gates together, also in the runtime's own,
  // which bound how many threads wait for files. gate_waits counts the waits that have ended, gate_waited_ns their
  // length.
  std::uint64_t gates_waiting = 0;
  std::uint64_t gate_waits = 0;
  std::uint64_t gate_waited_ns = 0;

  std::uint64_t polls = 0;   // of the network
  std::uint64_t timers = 0;  // that are set; timers that were stopped do not count

  // What accept() has passed over, in all listeners (net::tcp_listener), since the process began: connections that
  // failed before they could be returned, and pauses because descriptors or memory were short.
  std::uint64_t accepts_dropped = 0;
  std::uint64_t accepts_put_off = 0;

  // Memory for stacks, now.
  std::uint64_t stacks = 0;
  std::uint64_t stack_bytes = 0;  // address space
  std::uint64_t stacks_unguarded = 0;

  const char* guard = "";  // how stacks are guarded: "region", "mprotect", "none"
  // What taking a processor from a thread costs: "membarrier" or "fence". "refused": the process has forbidden itself
  // membarrier(2) since the start. No processor is taken any more then, and declared calls always hand theirs over.
  const char* barrier = "";
};

// Returns the present numbers. May be called from any fiber or thread. Takes some microseconds. Never switches.
[[nodiscard]] runtime_stats stats() noexcept;

// Returns one `name value` per line.
[[nodiscard]] std::string to_string(const runtime_stats& s);

}  // namespace baton
