// A fiber that wakes every millisecond, and so shows that the others run.
#pragma once

#include <baton/runtime/fiber.h>
#include <baton/runtime/this_fiber.h>

#include <atomic>
#include <chrono>

namespace baton_test {

class heartbeat {
 public:
  heartbeat() : fiber_(baton::spawn([this] { beat(); })) {}
  ~heartbeat() {
    stop_ = true;
    fiber_.join();
  }
  heartbeat(const heartbeat&) = delete;
  heartbeat& operator=(const heartbeat&) = delete;

  // Switches. Waits for so many more beats.
  void wait_for(int beats) const {
    for (const int until = beats_ + beats; beats_ < until;) baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  void beat() {
    while (!stop_) {
      baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
      ++beats_;
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<int> beats_{0};
  baton::fiber<void> fiber_;
};

}  // namespace baton_test
