#include "parked.h"

#include <baton/runtime/barrier.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;

TEST(Barrier, NobodyIsAPhaseAhead) {
  baton::run([] {
    constexpr int workers = 8;
    constexpr int phases = 200;
    baton::barrier meet(workers);
    std::vector<int> at(workers, 0);
    std::vector<baton::fiber<void>> fibers;
    for (int w = 0; w < workers; ++w) {
      fibers.push_back(baton::spawn([&, w] {
        for (int p = 1; p <= phases; ++p) {
          at[static_cast<std::size_t>(w)] = p;
          if (p % 16 == w) baton::this_fiber::yield();
          meet.arrive_and_wait();
          for (const int other : at) ASSERT_EQ(other, p);
          meet.arrive_and_wait();
        }
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

TEST(Barrier, TheCompletionFunctionRunsOncePerPhaseBeforeAnybodyGoesOn) {
  baton::run([] {
    constexpr int workers = 5;
    int completed = 0;  // not atomic: the barrier orders it
    baton::barrier meet(workers, [&]() noexcept { ++completed; });
    std::vector<baton::fiber<void>> fibers;
    for (int w = 0; w < workers; ++w) {
      fibers.push_back(baton::spawn([&] {
        for (int p = 1; p <= 100; ++p) {
          meet.arrive_and_wait();
          EXPECT_EQ(completed, p);
          meet.arrive_and_wait();
          EXPECT_EQ(completed, ++p);
        }
      }));
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(completed, 100);
  });
}

TEST(Barrier, TheCompletionFunctionMaySwitch) {
  baton::run([] {
    int completed = 0;
    baton::barrier meet(3, [&] {
      baton::this_fiber::sleep_for(1ms);
      ++completed;
    });
    std::vector<baton::fiber<void>> fibers;
    for (int w = 0; w < 3; ++w) {
      fibers.push_back(baton::spawn([&] {
        meet.arrive_and_wait();
        EXPECT_EQ(completed, 1);
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

TEST(Barrier, ArrivingAndWaitingApart) {
  baton::barrier<> meet(2);
  auto first = meet.arrive();
  EXPECT_FALSE(meet.wait_for(first, 0s));
  auto second = meet.arrive();
  EXPECT_TRUE(meet.wait_for(second, 0s));
  meet.wait(std::move(first));
  auto both = meet.arrive(2);
  meet.wait(std::move(both));
}

TEST(Barrier, WhoDropsIsNotExpectedAnyMore) {
  baton::run([] {
    baton::barrier meet(3);
    std::atomic<int> rounds{0};
    auto quitter = baton::spawn([&] { meet.arrive_and_drop(); });
    auto other = baton::spawn([&] {
      for (int i = 0; i < 5; ++i) meet.arrive_and_wait();
    });
    for (int i = 0; i < 5; ++i) {
      meet.arrive_and_wait();
      ++rounds;
    }
    other.join();
    EXPECT_EQ(rounds, 5);
  });
}

TEST(Barrier, TimedWaitsGiveUpButTheArrivalCounts) {
  baton::run([] {
    baton::barrier meet(2);
    auto mine = meet.arrive();
    const auto begin = clock::now();
    EXPECT_FALSE(meet.wait_for(mine, 2ms));
    EXPECT_GE(clock::now() - begin, 2ms);
    EXPECT_FALSE(meet.wait_until(mine, clock::now() - 1s));
    watched_agent waiter;
    auto f = baton::spawn([&] {
      waiter.about_to_wait();
      return meet.wait_for(mine, std::chrono::hours::max());
    });
    waiter.await_parked();
    meet.arrive_and_wait();
    EXPECT_TRUE(f.join());
  });
}

constinit baton::barrier<> static_barrier(1);

TEST(Barrier, MayBeStatic) { static_barrier.arrive_and_wait(); }

TEST(Barrier, FibersAndThreadsMeet) {
  baton::barrier meet(4);
  std::atomic<int> sum{0};
  const auto work = [&] {
    for (int i = 0; i < 50; ++i) {
      ++sum;
      meet.arrive_and_wait();
      EXPECT_GE(sum, 4 * (i + 1));
    }
  };
  std::thread a(work);
  std::thread b(work);
  baton::run([&] {
    auto c = baton::spawn(work);
    work();
    c.join();
  });
  a.join();
  b.join();
  EXPECT_EQ(sum, 200);
}

TEST(Barrier, MayBeDestroyedWhenTheLastWaitHasReturned) {
  struct shared {
    baton::barrier<> meet{3};
    std::atomic<int> inside{3};
  };
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      auto* const s = new shared;
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 3; ++i) {
        fibers.push_back(baton::spawn([s] {
          s->meet.arrive_and_wait();
          if (--s->inside == 0) delete s;
        }));
      }
      for (auto& f : fibers) f.join();
    }
  });
}

TEST(BarrierDeathTest, AnExceptionFromTheCompletionFunctionEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(baton::run([] {
                 baton::barrier b(1, [] { throw std::runtime_error("no completion"); });
                 b.arrive_and_wait();
               }),
               "no completion");
}

TEST(BarrierDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(baton::barrier(-1), "barrier: -1 participants");
  EXPECT_DEATH(
      {
        baton::barrier b(2);
        static_cast<void>(b.arrive(3));
      },
      "barrier: 3 arrive where 2 are missing");
  EXPECT_DEATH(baton::run([] {
                 baton::this_fiber::set_name("careless");
                 baton::barrier b(0);
                 b.arrive_and_wait();
               }),
               "fiber [0-9]+ \"careless\".*barrier: 1 arrive where 0 are missing");
}

}  // namespace
