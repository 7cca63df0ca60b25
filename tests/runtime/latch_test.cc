#include "parked.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/latch.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;

TEST(Latch, OpensAtZero) {
  baton::latch l(3);
  EXPECT_FALSE(l.try_wait());
  l.count_down();
  l.count_down(0);
  EXPECT_FALSE(l.try_wait());
  l.count_down(2);
  EXPECT_TRUE(l.try_wait());
  l.wait();
  EXPECT_TRUE(l.wait_for(0s));
}

TEST(Latch, OfZeroIsOpen) {
  const baton::latch l(0);
  EXPECT_TRUE(l.try_wait());
  l.wait();
}

constinit baton::latch static_latch(2);

TEST(Latch, MayBeStatic) {
  if (!static_latch.try_wait()) static_latch.count_down(2);  // also when the tests are repeated
  static_latch.wait();
}

TEST(Latch, WaitsForEverybodyAndShowsWhatTheyWrote) {
  baton::run([] {
    constexpr int workers = 50;
    baton::latch done(workers);
    std::vector<int> results(workers, 0);
    for (int i = 0; i < workers; ++i) {
      baton::go([&results, &done, i] {
        if (i % 3 == 0) baton::this_fiber::yield();
        results[static_cast<std::size_t>(i)] = i + 1;
        done.count_down();
      });
    }
    done.wait();
    for (int i = 0; i < workers; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i + 1);
  });
}

TEST(Latch, WakesFibersAndThreads) {
  baton::latch l(1);
  std::atomic<int> through{0};
  std::thread plain([&] {
    l.wait();
    ++through;
  });
  baton::run([&] {
    watched_agent waiter;
    auto f = baton::spawn([&] {
      waiter.about_to_wait();
      l.wait();
      ++through;
    });
    waiter.await_parked();
    EXPECT_EQ(through, 0);
    l.count_down();
    f.join();
  });
  plain.join();
  EXPECT_EQ(through, 2);
}

TEST(Latch, ArriveAndWaitIsAMeeting) {
  baton::run([] {
    baton::latch all(5);
    std::atomic<int> arrived{0};
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 5; ++i) {
      fibers.push_back(baton::spawn([&] {
        ++arrived;
        all.arrive_and_wait();
        EXPECT_EQ(arrived, 5);
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

TEST(Latch, TimedWaitsGiveUpNotBeforeTheirTime) {
  baton::run([] {
    baton::latch l(1);
    const auto begin = clock::now();
    EXPECT_FALSE(l.wait_for(2ms));
    EXPECT_GE(clock::now() - begin, 2ms);
    EXPECT_FALSE(l.wait_until(clock::now() - 1s));
    std::thread([&] { EXPECT_FALSE(l.wait_for(1ms)); }).join();
    watched_agent waiter;
    auto f = baton::spawn([&] {
      waiter.about_to_wait();
      return l.wait_for(std::chrono::hours::max());
    });
    waiter.await_parked();
    l.count_down();
    EXPECT_TRUE(f.join());
  });
}

TEST(Latch, TimeoutsRaceWithTheOpening) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      baton::latch l(2);
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([&l, i] { static_cast<void>(l.wait_for(std::chrono::microseconds(10 * i))); }));
      }
      fibers.push_back(baton::spawn([&l] { l.count_down(); }));
      l.count_down();
      l.wait();
      for (auto& f : fibers) f.join();
    }
  });
}

TEST(Latch, MayBeDestroyedWhenWaitHasReturned) {
  baton::run([] {
    for (int round = 0; round < 500; ++round) {
      auto l = std::make_unique<baton::latch>(3);
      for (int i = 0; i < 3; ++i) baton::go([p = l.get()] { p->count_down(); });
      if (round % 2 == 0) {
        l->wait();
      } else {
        while (!l->try_wait()) baton::this_fiber::yield();
      }
      l.reset();
    }
  });
  for (int round = 0; round < 50; ++round) {
    auto l = std::make_unique<baton::latch>(1);
    std::thread t([p = l.get()] { p->count_down(); });
    l->wait();
    l.reset();
    t.join();
  }
}

TEST(LatchDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(baton::latch(-1), "latch: a counter of -1 is out of range");
  EXPECT_DEATH(baton::latch(baton::latch::max() + 1), "latch: a counter of [0-9]+ is out of range");
  EXPECT_DEATH(
      {
        baton::latch l(1);
        l.count_down(2);
      },
      "latch: count_down of 2 with 1 left");
  EXPECT_DEATH(baton::run([] {
                 baton::this_fiber::set_name("careless");
                 baton::latch l(0);
                 l.count_down();
               }),
               "fiber [0-9]+ \"careless\".*latch: count_down of 1 with 0 left");
}

}  // namespace
