// A sleep for code that has to go on without memory. Internal.
#pragma once

#include <algorithm>
#include <cstdint>

namespace baton::detail {

// Switches. Sleeps for that long. Where there is no memory for a timer, the thread sleeps, in a declared call.
void sleep_anyway(std::int64_t ns) noexcept;

// The pauses of a loop that polls because no event tells it when to look: 1 ms at first, 20 ms at most.
class growing_pause {
 public:
  // Switches.
  void sleep() noexcept {
    sleep_anyway(ns_);
    ns_ = std::min(2 * ns_, max_ns);
  }

 private:
  static constexpr std::int64_t max_ns = 20'000'000;
  std::int64_t ns_ = 1'000'000;
};

}  // namespace baton::detail
