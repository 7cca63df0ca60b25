// Tells the user which fiber lost its P, and where: the call that should have been declared.
//
//   baton: fiber 17 "resolver" kept its P for 12 ms in undeclared nanosleep (syscall 35); P handed on. Wrap
//   it in baton::blocking().
//       #0 clock_nanosleep+0x63 (libc.so.6+0xcdff3)
//       #1 vendor_sleep()+0x2d (program+0x11d2)
//
// In strict mode also which fiber blocked undeclared and kept its P, because nothing waited for the P:
//
//   baton: fiber 17 "resolver" blocked its thread for 12 ms in undeclared nanosleep (syscall 35); P not handed
//   on (strict mode). Wrap it in baton::blocking().
//
// For the monitor, after a rescue, never before: it reads /proc and symbol tables, which takes up to some milliseconds
// the first time. It sends no signals, allocates nothing, takes no lock that the fiber could hold, and never waits for
// the reader of stderr (log.h).
#pragma once

#include <baton/sched/limits.h>
#include <baton/sched/machine.h>
#include <baton/sched/unwind/stack_trace.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

struct rescued {
  enum class kind : std::uint8_t {
    blocked,     // it lost its P
    computed,    // it lost its P
    left_alone,  // it is blocked and has its P: strict mode
  };

  std::uint64_t fiber = 0;  // its id
  char name[limits::fiber_name_max] = {};
  const fiber_start* start = nullptr;  // what the fiber runs: tells kinds of fibers apart
  const void* closure = nullptr;
  std::int32_t tid = 0;     // of the thread that the fiber is on
  std::int64_t age_ns = 0;  // how long the fiber had been in user code
  kind what = kind::blocked;
  stack_bounds stack;
};

// Describes the fiber that runs on m now. Its fields may change while they are read. `fiber` is 0 if none runs.
[[nodiscard]] rescued describe_rescued(const machine& m, rescued::kind what, std::int64_t age_ns) noexcept;

// At most one report a second, and one a minute about the same place (call and innermost frames; for a fiber that
// computes, whose place is unknown: the kind of closure). The next report says how many were left out. In strict mode
// there is one report about each place, at once. For use by one thread.
class rescue_reports {
 public:
  // Writes to the log, or to fd (the tests). Returns true if the report was written, false if it was left out and
  // counted.
  bool report(const rescued& r, std::int64_t now_ns, int fd = -1) noexcept;
  // Strict mode begins. A place is forgotten, and may be reported again, only after 512 others. From now on each place
  // of a call that blocks counts in scheduler::strict_reports, once, also if its report cannot be written.
  void once_per_place() noexcept { once_per_place_ = true; }

 private:
  struct place {
    std::uint64_t hash = 0;
    std::int64_t at_ns = 0;  // 0: the entry is free
    bool written = false;    // its report
  };
  [[nodiscard]] place& place_of(std::uint64_t hash) noexcept;

  bool once_per_place_ = false;
  std::int64_t next_look_ns_ = 0;
  std::uint64_t left_out_ = 0;
  place places_[512] = {};
};

// Returns "nanosleep", for example. Returns null for a call that is not among the common ones that block.
[[nodiscard]] const char* name_of_syscall(long number) noexcept;

}  // namespace baton::sched
