// Public API: call_sites(), what the runtime has learnt of each place that makes declared calls: whether it blocks, how
// often it gave its processor away in time, and how often the monitor had to take it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace baton {

// One call site: a closure given to blocking(), a system call made through sys::, a place that calls enter_syscall(),
// or a place that calls a function which baton::interpose wraps. Counts since the start.
struct call_site_history {
  // Names the system call; or the closure's type and the code that called it; or the code that called enter_syscall();
  // or the wrapped function and the code that called it.
  // Code has the form "function()+0x1d (program+0x11d2)"; addr2line takes the second address.
  std::string place;
  bool expected_to_block = false;  // now: the next call there hands its processor over before it begins
  std::uint64_t handed_over = 0;   // calls that did so
  std::uint64_t retaken = 0;       // calls whose processor the monitor took: they were expected to be short
  std::uint64_t timed_long = 0;    // of the calls that were timed (all that handed over, one in 64 of the rest)
  std::uint64_t timed_short = 0;
};

// Returns all call sites that have been timed or retaken at least once, the most recent first. May be called from any
// fiber or thread. Never switches. Takes some milliseconds, because it looks symbols up.
[[nodiscard]] std::vector<call_site_history> call_sites();

// Returns one line: "blocks  handed over 12, retaken 1, timed 13 long 0 short  clock_nanosleep (syscall 230)".
[[nodiscard]] std::string to_string(const call_site_history& h);

}  // namespace baton
