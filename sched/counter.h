// A statistics counter with one writer at a time: the thread that holds the P, or the M, to which it belongs. Any
// thread may read it, and an increment needs no locked instruction.
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
