// What is known of one place in the program that makes calls which may block: whether it pays to hand
// the P over at once. Internal to the syscall layer's use of the scheduler.
//
// A saturating score: a call that took long raises it by two, a short one lowers it by one. From
// `threshold` on the site is expected to block. It starts there (unknown: better hand over in vain once
// than keep everybody waiting once). The score is written only when it changes: sites are shared.
//
// Which calls are timed (two reads of the cycle counter): all that handed over, and one in 64 of those
// that did not. A call whose P the monitor had to take counts as a long one.
#pragma once

#include <baton/sched/limits.h>
#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::sched {

class call_site {
 public:
  enum class verdict : std::uint8_t { unknown, blocks, is_short };

  constexpr call_site() noexcept = default;

  [[nodiscard]] verdict expect() const noexcept {
    const std::uint32_t s = score_.load(platform::mo::relaxed);
    if (s == never_seen) return verdict::unknown;
    return s >= threshold ? verdict::blocks : verdict::is_short;
  }
  void learn(bool was_long) noexcept {
    const std::uint32_t s = score_.load(platform::mo::relaxed);
    const std::uint32_t base = s == never_seen ? threshold : s;
    const std::uint32_t next = was_long ? (base + 2 > top ? top : base + 2) : (base > 0 ? base - 1 : 0);
    // relaxed: a hint; a lost update costs one vain or one missed hand-over.
    if (next != s) score_.store(next, platform::mo::relaxed);
  }

 private:
  static constexpr std::uint32_t threshold = 4;
  static constexpr std::uint32_t top = 7;
  static constexpr std::uint32_t never_seen = 255;
  platform::atomic<std::uint32_t> score_{never_seen};
};

}  // namespace baton::sched
