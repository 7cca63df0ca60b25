#include "parked.h"

#include <baton/runtime/condition_variable.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;

TEST(ConditionVariable, NotifyOneWakesInOrderOfArrival) {
  baton::run([] {
    constexpr std::size_t waiters = 6;
    baton::mutex m;
    baton::condition_variable changed;
    std::vector<std::size_t> order;
    std::deque<watched_agent> watch(waiters);
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 0; i < waiters; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        std::unique_lock lock(m);
        watch[i].about_to_wait();
        changed.wait(lock);
        order.push_back(i);
      }));
      watch[i].await_parked();
    }
    for (std::size_t i = 0; i < waiters; ++i) {
      changed.notify_one();
      fibers[i].join();
      ASSERT_EQ(order.size(), i + 1) << "one notify woke more than one, or none";
      EXPECT_EQ(order.back(), i);
    }
  });
}

TEST(ConditionVariable, NotifyAllWakesAllFibersAndThreads) {
  baton::mutex m;
  baton::condition_variable changed;
  bool go = false;
  std::deque<watched_agent> watch(8);
  std::atomic<int> woken{0};
  const auto wait = [&](std::size_t i) {
    std::unique_lock lock(m);
    watch[i].about_to_wait();
    changed.wait(lock, [&] { return go; });
    EXPECT_TRUE(lock.owns_lock());
    ++woken;
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 3; ++i) threads.emplace_back(wait, i);
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 3; i < 8; ++i) fibers.push_back(baton::spawn(wait, i));
    for (const auto& w : watch) w.await_parked();
    {
      const std::lock_guard guard(m);
      go = true;
    }
    changed.notify_all();
    for (auto& f : fibers) f.join();
  });
  for (auto& t : threads) t.join();
  EXPECT_EQ(woken.load(), 8);
}

TEST(ConditionVariable, NotifyWithoutWaitersIsForgotten) {
  baton::run([] {
    baton::mutex m;
    baton::condition_variable changed;
    changed.notify_one();
    changed.notify_all();
    std::unique_lock lock(m);
    EXPECT_EQ(changed.wait_for(lock, 1ms), std::cv_status::timeout);
    EXPECT_TRUE(lock.owns_lock());
  });
}

TEST(ConditionVariable, TimedWaits) {
  baton::run([] {
    baton::mutex m;
    baton::condition_variable changed;
    std::unique_lock lock(m);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(changed.wait_for(lock, 2ms, [] { return false; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 2ms);
    EXPECT_TRUE(changed.wait_for(lock, -1s, [] { return true; }));
    EXPECT_EQ(changed.wait_until(lock, std::chrono::system_clock::now() - 1s), std::cv_status::timeout);
    EXPECT_FALSE(changed.wait_until(lock, std::chrono::steady_clock::now(), [] { return false; }));
    auto f = baton::spawn([&] {
      const std::lock_guard guard(m);  // possible only when the wait has unlocked it
      changed.notify_one();
    });
    EXPECT_EQ(changed.wait_for(lock, std::chrono::hours::max()), std::cv_status::no_timeout);
    lock.unlock();
    f.join();
  });
}

TEST(ConditionVariable, ATimedOutWaiterTakesNoNotify) {
  baton::run([] {
    baton::mutex m;
    baton::condition_variable changed;
    watched_agent second;
    std::unique_lock lock(m);
    EXPECT_EQ(changed.wait_for(lock, 1us), std::cv_status::timeout);
    lock.unlock();
    auto f = baton::spawn([&] {
      std::unique_lock own(m);
      second.about_to_wait();
      changed.wait(own);
    });
    second.await_parked();
    changed.notify_one();
    f.join();
  });
}

TEST(ConditionVariable, TimeoutsRaceWithNotifies) {
  baton::run([] {
    baton::mutex m;
    baton::condition_variable changed;
    int tokens = 0;
    int taken = 0;
    bool closed = false;
    std::vector<baton::fiber<void>> takers;
    for (int i = 0; i < 8; ++i) {
      takers.push_back(baton::spawn([&, i] {
        for (int n = 0;; ++n) {
          std::unique_lock lock(m);
          changed.wait_for(lock, std::chrono::microseconds((n * 5 + i) % 50), [&] { return tokens > 0 || closed; });
          if (tokens > 0) {
            --tokens;
            ++taken;
          } else if (closed) {
            return;
          }
        }
      }));
    }
    for (int n = 0; n < 2'000; ++n) {
      {
        const std::lock_guard guard(m);
        ++tokens;
      }
      changed.notify_one();
      if (n % 16 == 0) baton::this_fiber::yield();
    }
    {
      const std::lock_guard guard(m);
      closed = true;
    }
    changed.notify_all();
    for (auto& f : takers) f.join();
    EXPECT_EQ(taken, 2'000);
  });
}

TEST(ConditionVariable, BoundedBufferLosesNothing) {
  baton::run([] {
    baton::mutex m;
    baton::condition_variable not_empty;
    baton::condition_variable not_full;
    std::deque<int> buffer;
    long sum = 0;
    std::vector<baton::fiber<void>> fibers;
    for (int p = 0; p < 4; ++p) {
      fibers.push_back(baton::spawn([&] {
        for (int i = 1; i <= 1'000; ++i) {
          std::unique_lock lock(m);
          not_full.wait(lock, [&] { return buffer.size() < 3; });
          buffer.push_back(i);
          not_empty.notify_one();
        }
      }));
      fibers.push_back(baton::spawn([&] {
        for (int i = 1; i <= 1'000; ++i) {
          std::unique_lock lock(m);
          not_empty.wait(lock, [&] { return !buffer.empty(); });
          sum += buffer.front();
          buffer.pop_front();
          lock.unlock();
          not_full.notify_one();
        }
      }));
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(sum, 4 * 500'500L);
  });
}

TEST(ConditionVariable, MayBeDestroyedOnceAllAreNotified) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      baton::mutex m;
      auto changed = std::make_unique<baton::condition_variable>();
      bool go = false;
      auto notifier = baton::spawn([&] {
        const std::lock_guard guard(m);
        go = true;
        changed->notify_all();
      });
      {
        std::unique_lock lock(m);
        changed->wait(lock, [&] { return go; });
        changed.reset();
      }
      notifier.join();
    }
  });
}

// Waiters whose time is up when they are notified still have to leave the condition variable's list.
TEST(ConditionVariable, MayBeDestroyedOnceAllAreNotifiedAlsoWhenTheirTimeIsUp) {
  constexpr int waiters = 4;
  const auto round = [](int patience_us, auto start, auto finish) {
    baton::mutex m;
    auto changed = std::make_unique<baton::condition_variable>();
    int inside = 0;
    const auto wait = [&] {
      std::unique_lock lock(m);
      ++inside;
      static_cast<void>(changed->wait_for(lock, std::chrono::microseconds(patience_us)));
    };
    for (int i = 0; i < waiters; ++i) start(wait);
    std::unique_lock lock(m);
    while (inside < waiters) {
      lock.unlock();
      baton::this_fiber::yield();
      lock.lock();
    }
    changed->notify_all();
    changed.reset();
    lock.unlock();
    finish();
  };
  baton::run([&] {
    for (int i = 0; i < 600; ++i) {
      std::vector<baton::fiber<void>> fibers;
      round(
          i % 60, [&](auto& wait) { fibers.push_back(baton::spawn(wait)); }, [&] { fibers.clear(); });
    }
  });
  for (int i = 0; i < 60; ++i) {
    std::vector<std::thread> threads;
    round(
        2 * i, [&](auto& wait) { threads.emplace_back(wait); },
        [&] {
          for (auto& t : threads) t.join();
        });
  }
}

TEST(ConditionVariableDeathTest, WaitWithoutTheMutex) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        baton::mutex m;
        baton::condition_variable c;
        std::unique_lock lock(m, std::defer_lock);
        c.wait(lock);
      },
      "wait on a condition_variable without holding the mutex");
}

}  // namespace
