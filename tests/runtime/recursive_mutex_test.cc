#include <baton/runtime/recursive_mutex.h>

#include "parked.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/shared_mutex.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;

static_assert(std::is_same_v<baton::recursive_timed_mutex, baton::recursive_mutex>);
static_assert(std::is_same_v<baton::timed_mutex, baton::mutex>);
static_assert(std::is_same_v<baton::shared_timed_mutex, baton::shared_mutex>);
static_assert(std::is_same_v<baton::counting_semaphore<>, baton::semaphore>);
static_assert(std::is_same_v<baton::counting_semaphore<7>, baton::semaphore>);
static_assert(std::is_same_v<baton::binary_semaphore, baton::semaphore>);

// Returns whether another fiber could lock it.
bool free_for_others(baton::recursive_mutex& m) {
  return baton::spawn([&] {
           if (!m.try_lock()) return false;
           m.unlock();
           return true;
         })
      .join();
}

TEST(RecursiveMutex, IsFreeAfterAsManyUnlocks) {
  const auto check = [] {
    baton::recursive_mutex m;
    m.lock();
    EXPECT_TRUE(m.try_lock());
    EXPECT_TRUE(m.try_lock_for(1h));
    EXPECT_TRUE(m.try_lock_until(clock::now() - 1h));
    for (int i = 0; i < 4; ++i) {
      EXPECT_FALSE(free_for_others(m)) << i;
      m.unlock();
    }
    EXPECT_TRUE(free_for_others(m));
    EXPECT_TRUE(m.try_lock_for(0s));
    m.unlock();
    EXPECT_TRUE(m.try_lock_until(std::chrono::system_clock::now()));
    m.unlock();
  };
  baton::run(check);
  check();
}

constinit baton::recursive_mutex static_mutex;

TEST(RecursiveMutex, MayBeStatic) {
  const std::scoped_lock hold(static_mutex);
  const std::unique_lock again(static_mutex);
}

TEST(RecursiveMutex, BelongsToTheFiberOnWhicheverThread) {
  baton::run([] {
    baton::recursive_mutex m;
    const std::lock_guard hold(m);
    for (int i = 0; i < 100; ++i) {
      baton::this_fiber::yield();
      const std::lock_guard again(m);
      baton::this_fiber::sleep_for(1us);
    }
    baton::blocking([&] {
      EXPECT_TRUE(m.try_lock());  // the fiber's own, although its thread counts as a plain one
      m.unlock();
    });
    EXPECT_FALSE(free_for_others(m));
  });
}

TEST(RecursiveMutex, PlainThreadsOwnItToo) {
  baton::recursive_mutex m;
  m.lock();
  m.lock();
  std::thread([&] {
    EXPECT_FALSE(m.try_lock());
    EXPECT_FALSE(m.try_lock_for(1ms));
  }).join();
  baton::run([&] { EXPECT_FALSE(m.try_lock()); });
  m.unlock();
  m.unlock();
  std::thread([&] {
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  }).join();
}

TEST(RecursiveMutex, WakesItsWaiterAtTheLastUnlock) {
  baton::run([] {
    baton::recursive_mutex m;
    m.lock();
    m.lock();
    watched_agent waiter;
    auto f = baton::spawn([&] {
      waiter.about_to_wait();
      m.lock();
      m.lock();
      m.unlock();
      m.unlock();
    });
    waiter.await_parked();
    m.unlock();
    EXPECT_FALSE(f.join_for(0s));
    m.unlock();
    f.join();
  });
}

TEST(RecursiveMutex, TimedLocksGiveUpNotBeforeTheirTime) {
  baton::run([] {
    baton::recursive_mutex m;
    const std::lock_guard hold(m);
    baton::spawn([&] {
      const auto begin = clock::now();
      EXPECT_FALSE(m.try_lock_for(2ms));
      EXPECT_GE(clock::now() - begin, 2ms);
      EXPECT_FALSE(m.try_lock_until(clock::now() + 1ms));
      EXPECT_FALSE(m.try_lock());
    }).join();
  });
}

TEST(RecursiveMutex, GuardsAmongFibersAndThreads) {
  baton::recursive_mutex m;
  long counter = 0;
  const auto work = [&] {
    for (int i = 0; i < 300; ++i) {
      const std::lock_guard hold(m);
      const long seen = counter;
      if (i % 16 == 0) baton::this_fiber::yield();
      const std::lock_guard again(m);
      counter = seen + 1;
    }
  };
  std::thread plain(work);
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 8; ++i) fibers.push_back(baton::spawn(work));
    for (auto& f : fibers) f.join();
  });
  plain.join();
  EXPECT_EQ(counter, 9 * 300);
}

TEST(RecursiveMutex, MayBeDestroyedByTheNextOwner) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      auto m = std::make_unique<baton::recursive_mutex>();
      m->lock();
      auto f = baton::spawn([&m] {
        m->lock();
        m->unlock();
        m.reset();
      });
      m->unlock();
      f.join();
    }
  });
}

TEST(CountingSemaphore, IsTheSemaphore) {
  baton::counting_semaphore<3> s(1);
  s.acquire();
  EXPECT_FALSE(s.try_acquire());
  s.release(3);
  EXPECT_TRUE(s.try_acquire(3));
}

TEST(RecursiveMutexDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        baton::recursive_mutex m;
        m.unlock();
      },
      "unlock of a recursive_mutex that the caller does not own");
  EXPECT_DEATH(
      {
        baton::recursive_mutex m;
        m.lock();
        m.unlock();
        m.unlock();
      },
      "unlock of a recursive_mutex that the caller does not own");
  EXPECT_DEATH(baton::run([] {
                 baton::recursive_mutex m;
                 m.lock();
                 baton::spawn([&] {
                   baton::this_fiber::set_name("stranger");
                   m.unlock();
                 }).join();
               }),
               "fiber [0-9]+ \"stranger\".*unlock of a recursive_mutex that the caller does not own");
}

}  // namespace
