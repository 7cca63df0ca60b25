// A statistics counter with one writer at a time (the holder of the P or the M it belongs to): readable
// from anywhere, and no locked instruction to increment.
#pragma once

#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::sched {

class counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(platform::mo::relaxed) + n, platform::mo::relaxed);
  }
  [[nodiscard]] std::uint64_t read() const noexcept { return value_.load(platform::mo::relaxed); }

 private:
  platform::atomic<std::uint64_t> value_{0};
};

}  // namespace baton::sched
