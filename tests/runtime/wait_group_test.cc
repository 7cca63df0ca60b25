#include "parked.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;

TEST(WaitGroup, OfNothingIsDone) {
  baton::wait_group g;
  g.wait();
  EXPECT_TRUE(g.wait_for(0ms));
  g.add(0);
  g.add(3);
  g.add(-2);
  g.done();
  g.wait();
}

TEST(WaitGroup, WaitsForAllFibers) {
  baton::run([] {
    baton::wait_group g;
    std::atomic<int> finished{0};
    for (int i = 0; i < 1'000; ++i) {
      g.add();
      baton::go([&] {
        baton::this_fiber::yield();
        finished.fetch_add(1, std::memory_order_relaxed);
        g.done();
      });
    }
    g.wait();
    EXPECT_EQ(finished.load(std::memory_order_relaxed), 1'000);
  });
}

TEST(WaitGroup, PassesOnWhatWasWritten) {
  baton::run([] {
    for (int round = 0; round < 100; ++round) {
      baton::wait_group g;
      std::vector<int> slots(16, 0);
      g.add(16);
      for (std::size_t i = 0; i < 16; ++i) {
        baton::go([&, i] {
          slots[i] = static_cast<int>(i);
          g.done();
        });
      }
      g.wait();
      for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(slots[i], static_cast<int>(i));
    }
  });
}

TEST(WaitGroup, WakesAllFibersAndThreadsThatWait) {
  baton::wait_group g;
  g.add(2);
  std::atomic<int> woken{0};
  std::deque<watched_agent> watch(6);
  const auto wait = [&](std::size_t i) {
    watch[i].about_to_wait();
    if (i % 2 == 0) {
      g.wait();
    } else {
      EXPECT_TRUE(g.wait_for(std::chrono::hours::max()));
    }
    ++woken;
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 3; ++i) threads.emplace_back(wait, i);
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 3; i < 6; ++i) fibers.push_back(baton::spawn(wait, i));
    for (const auto& w : watch) w.await_parked();
    g.done();
    EXPECT_EQ(woken.load(), 0);
    g.done();
    for (auto& f : fibers) f.join();
  });
  for (auto& t : threads) t.join();
  EXPECT_EQ(woken.load(), 6);
}

TEST(WaitGroup, CanBeUsedAgain) {
  baton::run([] {
    baton::wait_group g;
    int total = 0;
    for (int round = 0; round < 1'000; ++round) {
      g.add();
      baton::go([&] {
        ++total;
        g.done();
      });
      g.wait();
      EXPECT_EQ(total, round + 1);
    }
  });
}

TEST(WaitGroup, CounterMayPassThroughZeroWhileOthersAdd) {
  baton::run([] {
    baton::wait_group g;
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 8; ++i) {
      fibers.push_back(baton::spawn([&] {
        for (int n = 0; n < 2'000; ++n) {
          g.add();
          g.done();
          if (n % 100 == 0) (void)g.wait_for(1us);
        }
      }));
    }
    for (auto& f : fibers) f.join();
    g.wait();
    EXPECT_TRUE(g.wait_for(0ms));
  });
}

TEST(WaitGroup, TimesOutNotBeforeItsTime) {
  baton::run([] {
    baton::wait_group g;
    g.add();
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(g.wait_for(3ms));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 3ms);
    EXPECT_FALSE(g.wait_for(-1s));
    EXPECT_FALSE(g.wait_until(std::chrono::steady_clock::now() - 1s));
    std::thread([&] { EXPECT_FALSE(g.wait_for(1ms)); }).join();
    g.done();
    EXPECT_TRUE(g.wait_until(std::chrono::steady_clock::now() - 1s));
  });
}

TEST(WaitGroup, TimeoutsRaceWithDone) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      baton::wait_group g;
      std::atomic<bool> is_done{false};
      g.add();
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          const bool reached = g.wait_for(std::chrono::microseconds(round % 60 + 2 * i));
          EXPECT_TRUE(!reached || is_done.load());
        }));
      }
      baton::this_fiber::sleep_for(std::chrono::microseconds(round % 50));
      is_done = true;
      g.done();
      g.wait();
      for (auto& f : fibers) f.join();
    }
  });
}

// The group is destroyed as soon as wait() has returned; the last done() must not touch it then.
TEST(WaitGroup, MayBeDestroyedAsSoonAsWaitReturns) {
  baton::run([] {
    std::vector<baton::fiber<void>> workers;
    for (int round = 0; round < 1'000; ++round) {
      auto g = std::make_unique<baton::wait_group>();
      g->add(3);
      for (int i = 0; i < 3; ++i) workers.push_back(baton::spawn([p = g.get()] { p->done(); }));
      if (round % 3 == 0) baton::this_fiber::yield();
      if (round % 2 == 0) {
        g->wait();
      } else {
        EXPECT_TRUE(g->wait_for(std::chrono::hours(1)));
      }
      g.reset();
      for (auto& w : workers) w.join();
      workers.clear();
    }
  });
}

TEST(WaitGroup, MayBeDestroyedByAThreadAsSoonAsWaitReturns) {
  baton::run([] {
    for (int round = 0; round < 200; ++round) {
      auto g = std::make_unique<baton::wait_group>();
      g->add();
      std::thread waiter([&] {
        g->wait();
        g.reset();
      });
      auto* const p = g.get();
      p->done();
      waiter.join();
    }
  });
}

TEST(WaitGroupDeathTest, Misuse) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        baton::wait_group g;
        g.done();
      },
      "wait_group: more done\\(\\) than add\\(\\)");
  EXPECT_DEATH(
      {
        baton::wait_group g;
        g.add(2);
        g.add(-3);
      },
      "wait_group: more done\\(\\) than add\\(\\)");
  EXPECT_DEATH(
      {
        baton::wait_group g;
        g.add(2'147'483'647);
        g.add(1);
      },
      "wait_group: the counter overflows");
}

}  // namespace
