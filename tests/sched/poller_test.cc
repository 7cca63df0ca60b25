// The poller is replaced while everything runs. A thread that wakes the sleeper reaches it wherever it sleeps.
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

namespace {

using namespace baton::sched;
using baton_test::eventually;
using baton_test::join;
using baton_test::spawn_fiber;

// A poller that never finds anything.
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

// With one P, only the sleeper finds a fiber that a thread starts. Each round starts one fiber, replaces the poller
// once (a second replacement would wake the sleeper, too), and ends when the fiber has run.
TEST(PollerDeathTest, AWakeThatCameWhileItWasReplacedIsNotLost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 1;
        start(s);
        static empty_poller pollers[2];
        std::atomic<bool> stop{false};
        std::atomic<unsigned> begun{0};
        std::atomic<unsigned> replaced{0};
        std::atomic<unsigned> joined{0};
        std::thread replacer([&] {
          for (unsigned round = 1; !stop.load(); ++round) {
            while (begun.load() < round && !stop.load()) platform::cpu_relax();
            for (unsigned i = 0; i < round % 61; ++i) platform::cpu_relax();
            install_poller(&pollers[round % 2]);
            replaced.store(round);
          }
        });
        std::thread spawner([&] {
          for (unsigned round = 1; !stop.load(); ++round) {
            begun.store(round);
            for (unsigned i = 0; i < round % 53; ++i) platform::cpu_relax();
            join(spawn_fiber([] {}));
            joined.store(round);
            while (replaced.load() < round && !stop.load()) platform::cpu_relax();
          }
        });
        const std::int64_t end = platform::now_ns() + 500'000'000;
        while (platform::now_ns() < end) {
          const unsigned before = joined.load();
          if (!eventually([&] { return joined.load() > before; })) {
            std::fprintf(stderr, "a fiber that was started does not run\n");
            std::_Exit(1);
          }
        }
        stop.store(true);
        replacer.join();
        spawner.join();
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
