#include "parked.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;

TEST(Mutex, ExcludesFibersFromEachOther) {
  baton::run([] {
    baton::mutex m;
    long count = 0;
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 50; ++i) {
      fibers.push_back(baton::spawn([&] {
        for (int n = 0; n < 2'000; ++n) {
          const std::lock_guard guard(m);
          ++count;
        }
      }));
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(count, 100'000);
  });
}

TEST(Mutex, IsHeldAcrossASwitch) {
  baton::run([] {
    baton::mutex m;
    int inside = 0;
    int worst = 0;
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 20; ++i) {
      fibers.push_back(baton::spawn([&] {
        for (int n = 0; n < 100; ++n) {
          const std::lock_guard guard(m);
          if (++inside > worst) worst = inside;
          baton::this_fiber::yield();
          --inside;
        }
      }));
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(worst, 1);
  });
}

TEST(Mutex, ExcludesThreadsAndFibersFromEachOther) {
  baton::mutex m;
  long count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 5'000; ++n) {
        const std::lock_guard guard(m);
        ++count;
      }
    });
  }
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 10; ++i) {
      fibers.push_back(baton::spawn([&] {
        for (int n = 0; n < 2'000; ++n) {
          const std::lock_guard guard(m);
          ++count;
          if (n % 64 == 0) baton::this_fiber::yield();
        }
      }));
    }
    for (auto& f : fibers) f.join();
  });
  for (auto& t : threads) t.join();
  EXPECT_EQ(count, 35'000);
}

TEST(Mutex, WorksBeforeAndWithoutTheRuntime) {
  baton::mutex m;
  m.lock();
  EXPECT_FALSE(m.try_lock());
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(Mutex, TakesPartInStdLocking) {
  baton::mutex a;
  baton::mutex b;
  {
    const std::scoped_lock both(a, b);
    EXPECT_FALSE(a.try_lock());
    EXPECT_FALSE(b.try_lock());
  }
  std::unique_lock lock(a, std::try_to_lock);
  EXPECT_TRUE(lock.owns_lock());
  std::unique_lock other(b, std::defer_lock);
  EXPECT_TRUE(other.try_lock_for(1ms));
  EXPECT_TRUE(std::unique_lock(b, std::try_to_lock).owns_lock() == false);
}

TEST(Mutex, MayBeUnlockedByAnotherFiber) {
  baton::run([] {
    baton::mutex m;
    m.lock();
    baton::spawn([&] { m.unlock(); }).join();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TEST(Mutex, TimedLockGivesUpNotBeforeItsTime) {
  baton::run([] {
    baton::mutex m;
    m.lock();
    baton::spawn([&] {
      const auto begin = clock::now();
      EXPECT_FALSE(m.try_lock_for(3ms));
      EXPECT_GE(clock::now() - begin, 3ms);
      EXPECT_FALSE(m.try_lock_for(0ms));
      EXPECT_FALSE(m.try_lock_for(-1h));
      EXPECT_FALSE(m.try_lock_until(clock::now() - 1s));
      EXPECT_FALSE(m.try_lock_until(std::chrono::system_clock::now() + 1ms));
    }).join();
    m.unlock();
    EXPECT_TRUE(m.try_lock_for(-1h)) << "a free mutex is taken also when the time is past";
    m.unlock();
    EXPECT_TRUE(m.try_lock_for(std::chrono::hours::max()));
    m.unlock();
  });
}

TEST(Mutex, TimedLockOfAThreadGivesUp) {
  baton::mutex m;
  m.lock();
  std::thread([&] { EXPECT_FALSE(m.try_lock_for(2ms)); }).join();
  m.unlock();
  std::thread([&] {
    EXPECT_TRUE(m.try_lock_for(2ms));
    m.unlock();
  }).join();
}

TEST(Mutex, TimedLockGetsTheMutexWhenItIsFreed) {
  baton::run([] {
    baton::mutex m;
    watched_agent waiter;
    m.lock();
    auto f = baton::spawn([&] {
      waiter.about_to_wait();
      const bool got = m.try_lock_for(std::chrono::hours::max());
      if (got) m.unlock();
      return got;
    });
    waiter.await_parked();
    m.unlock();
    EXPECT_TRUE(f.join());
  });
}

TEST(Mutex, WhoWaitedLongGetsItHandedOverInOrder) {
  baton::run([] {
    constexpr std::size_t waiters = 8;
    baton::mutex m;
    std::vector<std::size_t> order;
    std::deque<watched_agent> watch(waiters);
    std::vector<baton::fiber<void>> fibers;
    m.lock();
    for (std::size_t i = 0; i < waiters; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        const std::lock_guard guard(m);
        order.push_back(i);
      }));
      watch[i].await_parked();
    }
    baton::this_fiber::sleep_for(5ms);  // all waiters are old now
    m.unlock();
    if (m.try_lock()) {
      EXPECT_EQ(order.size(), waiters) << "barged past a starving waiter";
      m.unlock();
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  });
}

TEST(Mutex, ABusyLockerStarvesNobody) {
  baton::run([] {
    baton::mutex m;
    watched_agent victim;
    bool got = false;
    m.lock();
    auto f = baton::spawn([&] {
      victim.about_to_wait();
      const std::lock_guard guard(m);
      got = true;
    });
    victim.await_parked();
    while (!got) {  // waits only in lock()
      m.unlock();
      m.lock();
    }
    m.unlock();
    f.join();
  });
}

// The same on threads, whose lock() never has to let others run.
TEST(Mutex, ABusyThreadStarvesNobody) {
  baton::mutex m;
  std::atomic<int> got{0};
  std::thread hog([&] {
    while (got < 2) {
      m.lock();
      std::this_thread::sleep_for(100us);  // as Go's TestMutexFairness: held most of the time
      m.unlock();
    }
  });
  std::thread other([&] {
    for (int i = 0; i < 10; ++i) {
      std::this_thread::sleep_for(100us);
      const std::lock_guard guard(m);
    }
    ++got;
  });
  baton::run([&] {
    for (int i = 0; i < 10; ++i) {
      const std::lock_guard guard(m);
      baton::this_fiber::yield();
    }
    ++got;
  });
  other.join();
  hog.join();
}

TEST(Mutex, TimeoutsRaceWithUnlocks) {
  baton::run([] {
    baton::mutex m;
    long count = 0;
    std::atomic<long> expected{0};
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 16; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        for (int n = 0; n < 300; ++n) {
          if (!m.try_lock_for(std::chrono::microseconds((i * 7 + n) % 40))) continue;
          ++count;
          expected.fetch_add(1, std::memory_order_relaxed);
          if (n % 4 == 0) baton::this_fiber::yield();
          if (n % 32 == 0) baton::this_fiber::sleep_for(30us);
          m.unlock();
        }
      }));
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(count, expected.load());
    EXPECT_TRUE(m.try_lock()) << "a timed-out waiter left the mutex locked";
    m.unlock();
  });
}

// The last agent to unlock destroys the mutex, while the others may still be inside their unlock().
TEST(Mutex, MayBeDestroyedByWhoLocksItAfterAnUnlock) {
  struct shared {
    baton::mutex m;
    int users = 0;
  };
  baton::run([] {
    for (int round = 0; round < 400; ++round) {
      constexpr int users = 4;
      auto* const s = new shared;
      s->users = users;
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < users; ++i) {
        fibers.push_back(baton::spawn([s, round] {
          s->m.lock();
          const bool last = --s->users == 0;
          if (round % 4 == 0) baton::this_fiber::yield();  // let the others queue up
          s->m.unlock();
          if (last) delete s;
        }));
      }
      for (auto& f : fibers) f.join();
    }
  });
}

TEST(Mutex, MayBeDestroyedByAThreadThatLocksItAfterAnUnlock) {
  struct shared {
    baton::mutex m;
    int users = 3;
  };
  for (int round = 0; round < 50; ++round) {
    auto* const s = new shared;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([s] {
        s->m.lock();
        const bool last = --s->users == 0;
        s->m.unlock();
        if (last) delete s;
      });
    }
    for (auto& t : threads) t.join();
  }
}

TEST(MutexDeathTest, UnlockOfAnUnlockedMutex) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        baton::mutex m;
        m.unlock();
      },
      "unlock of a mutex that is not locked");
  EXPECT_DEATH(
      {
        baton::mutex m;
        m.lock();
        m.unlock();
        m.unlock();
      },
      "unlock of a mutex that is not locked");
  EXPECT_DEATH(baton::run([] {
                 baton::this_fiber::set_name("careless");
                 baton::mutex m;
                 m.unlock();
               }),
               "fiber [0-9]+ \"careless\".*unlock of a mutex that is not locked");
}

}  // namespace
