#include "parked.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/this_fiber.h>

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

TEST(Semaphore, Counts) {
  baton::semaphore s(3);
  s.acquire();
  EXPECT_TRUE(s.try_acquire(2));
  EXPECT_FALSE(s.try_acquire());
  EXPECT_TRUE(s.try_acquire(0));
  EXPECT_FALSE(s.try_acquire_for(0ms));
  s.release(5);
  EXPECT_FALSE(s.try_acquire(6));
  EXPECT_TRUE(s.try_acquire_for(-1h, 5));
  s.acquire(0);
  s.release(0);
  EXPECT_FALSE(s.try_acquire());
}

constinit baton::semaphore static_semaphore(1);

TEST(Semaphore, MayBeStatic) {
  static_semaphore.acquire();
  static_semaphore.release();
}

TEST(Semaphore, LimitsHowManyAreInside) {
  baton::run([] {
    baton::semaphore s(3);
    std::atomic<int> inside{0};
    std::atomic<int> worst{0};
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 30; ++i) {
      fibers.push_back(baton::spawn([&] {
        for (int n = 0; n < 100; ++n) {
          s.acquire();
          const int now = ++inside;
          if (now > worst) worst = now;
          baton::this_fiber::yield();
          --inside;
          s.release();
        }
      }));
    }
    for (auto& f : fibers) f.join();
    EXPECT_LE(worst.load(), 3);
    EXPECT_TRUE(s.try_acquire(3));
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST(Semaphore, ServesInOrderOfArrival) {
  baton::run([] {
    baton::semaphore s(0);
    std::vector<int> order;
    std::deque<watched_agent> watch(3);
    std::vector<baton::fiber<void>> fibers;
    const int wanted[] = {3, 1, 2};
    for (std::size_t i = 0; i < 3; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        s.acquire(wanted[i]);
        order.push_back(static_cast<int>(i));
      }));
      watch[i].await_parked();
    }
    s.release(2);
    EXPECT_TRUE(order.empty()) << "a later, smaller request went first";
    EXPECT_FALSE(s.try_acquire()) << "a newcomer took what others wait for";
    s.release();
    fibers[0].join();
    EXPECT_EQ(order, std::vector<int>{0});
    s.release();
    fibers[1].join();
    s.release(3);
    fibers[2].join();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
    EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST(Semaphore, ATimedOutRequestMakesRoomForThoseBehind) {
  baton::run([] {
    baton::semaphore s(1);
    watched_agent big;
    auto first = baton::spawn([&] {
      big.about_to_wait();
      return s.try_acquire_for(20ms, 2);
    });
    big.await_parked();
    auto second = baton::spawn([&] { return s.try_acquire_for(std::chrono::hours(1), 1); });
    EXPECT_FALSE(first.join());
    EXPECT_TRUE(second.join());
  });
}

TEST(Semaphore, TimesOutNotBeforeItsTime) {
  baton::run([] {
    baton::semaphore s(0);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(s.try_acquire_for(3ms));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 3ms);
    EXPECT_FALSE(s.try_acquire_until(std::chrono::system_clock::now() - 1s));
    std::thread([&] { EXPECT_FALSE(s.try_acquire_for(1ms)); }).join();
  });
}

TEST(Semaphore, TimeoutsRaceWithReleases) {
  baton::run([] {
    baton::semaphore s(0);
    std::atomic<long> taken{0};
    std::atomic<bool> stop{false};
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 6; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        for (int n = 0; !stop.load(); ++n) {
          const int wanted = 1 + (n + i) % 3;
          if (s.try_acquire_for(std::chrono::microseconds((n * 3 + i) % 40), wanted)) taken += wanted;
        }
      }));
    }
    for (int n = 0; n < 2'000; ++n) {
      s.release();
      if (n % 8 == 0) baton::this_fiber::yield();
    }
    stop = true;
    for (auto& f : fibers) f.join();
    while (s.try_acquire()) ++taken;
    EXPECT_EQ(taken.load(), 2'000) << "permits were lost or made";
  });
}

TEST(Semaphore, BetweenFibersAndThreads) {
  baton::semaphore items(0);
  baton::semaphore room(4);
  std::thread producer([&] {
    for (int i = 0; i < 3'000; ++i) {
      room.acquire();
      items.release();
    }
  });
  baton::run([&] {
    for (int i = 0; i < 3'000; ++i) {
      items.acquire();
      room.release();
    }
  });
  producer.join();
  EXPECT_FALSE(items.try_acquire());
  EXPECT_TRUE(room.try_acquire(4));
}

TEST(Semaphore, MayBeDestroyedAsSoonAsAcquireReturns) {
  baton::run([] {
    for (int round = 0; round < 1'000; ++round) {
      auto s = std::make_unique<baton::semaphore>(0);
      auto one = baton::spawn([p = s.get()] { p->release(); });
      auto two = baton::spawn([p = s.get()] { p->release(1); });
      if (round % 3 == 0) baton::this_fiber::yield();
      if (round % 2 == 0) {
        s->acquire(2);
      } else {
        s->acquire();
        s->acquire();
      }
      s.reset();
      one.join();
      two.join();
    }
  });
}

TEST(Semaphore, MayBeDestroyedByAThreadAsSoonAsAcquireReturns) {
  for (int round = 0; round < 200; ++round) {
    auto s = std::make_unique<baton::semaphore>(0);
    auto* const p = s.get();
    std::thread waiter([&] {
      s->acquire();
      s.reset();
    });
    p->release(3);  // more than any waiter asked for
    waiter.join();
  }
}

TEST(SemaphoreDeathTest, Misuse) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(baton::semaphore(-1), "semaphore: -1 permits at the start are out of range");
  EXPECT_DEATH(baton::semaphore(baton::semaphore::max() + 1),
               "semaphore: [0-9]+ permits at the start are out of range");
  EXPECT_DEATH(baton::semaphore(1).acquire(-1), "semaphore: acquire of -1 permits");
  EXPECT_DEATH(baton::semaphore(1).acquire(baton::semaphore::max() + 1),
               "semaphore: acquire of [0-9]+ permits; there are never more than [0-9]+");
  EXPECT_DEATH(baton::semaphore(1).release(-2), "semaphore: release of -2 permits");
  EXPECT_DEATH(baton::semaphore(1).release(baton::semaphore::max()), "semaphore: more than max");
}

}  // namespace
