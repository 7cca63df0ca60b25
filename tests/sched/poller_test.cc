// The poller is replaced while everything runs; whoever wakes the sleeper reaches it wherever it sleeps.
#include "doorbell.h"
#include "on_fiber.h"

#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/poller.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::eventually;
using baton_test::join;
using baton_test::spawn_fiber;

// There is never anything to find in it.
class empty_poller final : public poller {
 public:
  int poll(std::int64_t timeout_ns, fiber_list&) noexcept override {
    if (timeout_ns == 0) return 0;
    const std::int64_t deadline = timeout_ns < 0 ? platform::forever_ns : platform::now_ns() + timeout_ns;
    while (woken_.exchange(0) == 0) {
      if (!platform::futex_wait(woken_, 0, deadline)) break;
    }
    return 0;
  }
  void wake() noexcept override {
    if (woken_.exchange(1) == 0) platform::futex_wake(&woken_, 1);
  }

 private:
  platform::atomic<std::uint32_t> woken_{0};
};

// With one P a fiber that a thread starts is found by the sleeper alone. The moment is short, so there
// are many replacements where a program makes one.
TEST(PollerDeathTest, AWakeThatCameWhileItWasReplacedIsNotLost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 1;
        start(s);
        static empty_poller pollers[2];
        std::atomic<bool> stop{false};
        std::atomic<int> joined{0};
        std::vector<std::thread> threads;
        threads.emplace_back([&] {
          for (unsigned i = 0; !stop.load(); ++i) install_poller(&pollers[i % 2]);
        });
        for (int i = 0; i < 2; ++i) {
          threads.emplace_back([&] {
            while (!stop.load()) {
              join(spawn_fiber([] {}));
              joined.fetch_add(1);
            }
          });
        }
        const std::int64_t end = platform::now_ns() + 500'000'000;
        while (platform::now_ns() < end) {
          const int before = joined.load();
          if (!eventually([&] { return joined.load() >= before + 2; })) {
            std::fprintf(stderr, "a fiber that was started does not run\n");
            std::_Exit(1);
          }
        }
        stop.store(true);
        for (auto& t : threads) t.join();
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
