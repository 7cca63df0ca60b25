// The others: fibers that do nothing but yield, and write down when one of them runs.
//
// Two kinds, because a look at the clock at each turn makes a turn twice as long:
//   first_run   looks at the clock only after the caller has armed it, once: how long until any of them runs
//   gaps        looks at each turn: the longest stretch in which none of them ran, and how many turns there were
// They are for one P: the yielders themselves never run at the same time. The caller does, when its P
// was taken from it, so what both touch is atomic.
#pragma once

#include "../scenario.h"

#include <baton/baton.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <vector>

namespace handoff {

// Runs turn() after each return from yield, in `count` fibers, until it is destroyed.
template <class Turn>
class yielders {
 public:
  yielders(int count, Turn& turn) {
    for (int i = 0; i < count; ++i) {
      fibers_.push_back(baton::spawn([this, &turn] {
        while (!stop_.load(std::memory_order_relaxed)) {
          baton::this_fiber::yield();
          turn.turn();
        }
      }));
    }
  }
  yielders(const yielders&) = delete;
  yielders& operator=(const yielders&) = delete;
  ~yielders() {
    stop_.store(true, std::memory_order_relaxed);
    for (auto& fiber : fibers_) fiber.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<baton::fiber<void>> fibers_;
};

class first_run {
 public:
  void turn() noexcept {
    if (begin_.load(std::memory_order_relaxed) == 0) return;
    const std::int64_t now = now_ns();
    const std::int64_t begin = begin_.exchange(0, std::memory_order_acq_rel);
    if (begin != 0) latency_.store(now - begin, std::memory_order_release);
  }

  // By the caller, immediately before its call; returns the stamp.
  std::int64_t arm() noexcept {
    latency_.store(0, std::memory_order_relaxed);
    const std::int64_t begin = now_ns();
    begin_.store(begin, std::memory_order_release);
    return begin;
  }
  // By the caller, after it. If none of them has run so far, the latency is longer than the call, and not over.
  [[nodiscard]] std::int64_t latency_ns() noexcept {
    for (;;) {
      const std::int64_t ns = latency_.load(std::memory_order_acquire);
      if (ns != 0) return ns;
      baton::this_fiber::yield();
    }
  }

 private:
  alignas(64) std::atomic<std::int64_t> begin_{0};
  alignas(64) std::atomic<std::int64_t> latency_{0};
};

class gaps {
 public:
  void turn() noexcept {
    const std::int64_t now = now_ns();
    const std::int64_t gap =
        now - std::max(last_.load(std::memory_order_relaxed), begin_.load(std::memory_order_relaxed));
    last_.store(now, std::memory_order_relaxed);
    if (gap > longest_.load(std::memory_order_relaxed)) longest_.store(gap, std::memory_order_relaxed);
    turns_.store(turns() + 1, std::memory_order_release);
  }

  std::int64_t arm() noexcept {
    const std::int64_t begin = now_ns();
    begin_.store(begin, std::memory_order_relaxed);
    longest_.store(0, std::memory_order_release);
    return begin;
  }
  // The gap that the call's end finds open ends with the next turn.
  [[nodiscard]] std::int64_t longest_ns() noexcept {
    const std::uint64_t before = turns();
    while (turns() == before) baton::this_fiber::yield();
    return longest_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t turns() const noexcept { return turns_.load(std::memory_order_acquire); }

 private:
  alignas(64) std::atomic<std::int64_t> begin_{0};
  alignas(64) std::atomic<std::int64_t> last_{0};
  std::atomic<std::int64_t> longest_{0};
  std::atomic<std::uint64_t> turns_{0};
};

// Lets the others run between two calls; not always equally long, or the calls might keep step with
// something periodic, such as the monitor's looks.
class pause {
 public:
  void operator()() {
    const std::int64_t until = now_ns() + 2 * ms + static_cast<std::int64_t>(random_() % (1 * ms));
    while (now_ns() < until) baton::this_fiber::yield();
  }

 private:
  std::minstd_rand random_{static_cast<unsigned>(now_ns())};
};

}  // namespace handoff
