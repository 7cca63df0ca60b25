// What the places of a program that make declared calls have turned out to be: which of them block, how
// often they gave their processor away in time, and how often the monitor had to take it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace baton {

// One place: a closure given to blocking(), a system call made through sys::, a place that calls
// enter_syscall(). Counts since the start.
struct call_site_history {
  std::string place;               // the closure's type, the system call, or the function and its offset
  bool expected_to_block = false;  // now: the next call there hands its processor over before it begins
  std::uint64_t handed_over = 0;   // calls that did so
  std::uint64_t retaken = 0;       // calls whose processor the monitor took: they were expected to be short
  std::uint64_t timed_long = 0;    // of the calls that were timed (all handed over, one in 64 of the rest)
  std::uint64_t timed_short = 0;
};

// All places that have been timed or retaken at least once, the most recent first. From any fiber or
// thread; never switches. Looks symbols up: some milliseconds.
[[nodiscard]] std::vector<call_site_history> call_sites();

// One per line: "blocks  handed over 12, retaken 1, timed 13 long 0 short  clock_nanosleep (syscall 230)".
[[nodiscard]] std::string to_string(const call_site_history& h);

}  // namespace baton
