#include "parked.h"

#include <baton/runtime/condition_variable_any.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;

class ConditionVariableAny : public testing::Test {};
class ConditionVariableAnyDeathTest : public testing::Test {
 protected:
  ConditionVariableAnyDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// A lock of the program's: has nothing but lock() and unlock(), and calls a function once, in unlock().
class hooked_lock {
 public:
  void lock() { permit_.acquire(); }
  void unlock() {
    permit_.release();
    if (const auto f = std::exchange(after_unlock, nullptr)) f();
  }
  std::function<void()> after_unlock;

 private:
  baton::semaphore permit_{1};
};

TEST_F(ConditionVariableAny, NotifyOneWakesInOrderOfArrival) {
  baton::run([] {
    constexpr std::size_t waiters = 6;
    hooked_lock m;
    baton::condition_variable_any changed;
    std::vector<std::size_t> order;
    std::deque<watched_agent> watch(waiters);
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 0; i < waiters; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        const std::lock_guard hold(m);
        watch[i].about_to_wait();
        changed.wait(m);
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

TEST_F(ConditionVariableAny, NotifyAllWakesFibersAndThreads) {
  hooked_lock m;
  baton::condition_variable_any changed;
  bool go = false;
  std::deque<watched_agent> watch(8);
  std::atomic<int> woken{0};
  const auto wait = [&](std::size_t i) {
    const std::lock_guard hold(m);
    watch[i].about_to_wait();
    changed.wait(m, [&] { return go; });
    ++woken;
  };
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < 4; ++i) threads.emplace_back(wait, i);
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 4; i < 8; ++i) fibers.push_back(baton::spawn(wait, i));
    for (const watched_agent& w : watch) w.await_parked();
    {
      const std::lock_guard hold(m);
      go = true;
    }
    changed.notify_all();
  });
  threads.clear();
  EXPECT_EQ(woken, 8);
}

TEST_F(ConditionVariableAny, WorksWithStdsOwnLocks) {
  baton::run([] {
    std::mutex m;  // never held across a switch: a wait gives it up first
    baton::condition_variable_any changed;
    bool set = false;
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      std::unique_lock lock(m);
      watch.about_to_wait();
      changed.wait(lock, [&] { return set; });
      EXPECT_TRUE(lock.owns_lock());
    });
    watch.await_parked();
    {
      const std::lock_guard hold(m);
      set = true;
    }
    changed.notify_one();
    waiter.join();
  });
}

TEST_F(ConditionVariableAny, TimedWaitsEnd) {
  baton::run([] {
    hooked_lock m;
    baton::condition_variable_any changed;
    const std::lock_guard hold(m);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(std::cv_status::timeout, changed.wait_for(m, 2ms));
    EXPECT_EQ(std::cv_status::timeout, changed.wait_until(m, start + 4ms));
    EXPECT_GE(std::chrono::steady_clock::now() - start, 4ms);
    EXPECT_FALSE(changed.wait_for(m, 1ms, [] { return false; }));
    EXPECT_FALSE(changed.wait_until(m, std::chrono::system_clock::now() + 1ms, [] { return false; }));
    EXPECT_TRUE(changed.wait_for(m, -1h, [] { return true; }));
  });
}

// The unlock itself waits: the agent must not be prepared to park then.
TEST_F(ConditionVariableAny, TheUnlockMayWait) {
  baton::run([] {
    hooked_lock m;
    baton::condition_variable_any changed;
    baton::event unlocked;
    baton::event go_on;
    m.after_unlock = [&] {
      unlocked.set();
      go_on.wait();
    };
    auto waiter = baton::spawn([&] {
      const std::lock_guard hold(m);
      changed.wait(m);
    });
    unlocked.wait();
    changed.notify_one();  // comes before the waiter is about to park
    go_on.set();
    waiter.join();
  });
}

// A notify between the unlock and the park is not lost, and the object may be destroyed after it.
TEST_F(ConditionVariableAny, MayBeDestroyedAfterANotifyDuringTheUnlock) {
  baton::run([] {
    for (int round = 0; round < 500; ++round) {
      hooked_lock m;
      auto changed = std::make_unique<baton::condition_variable_any>();
      m.after_unlock = [&] {
        changed->notify_all();
        changed = nullptr;
        baton::this_fiber::yield();
      };
      m.lock();
      EXPECT_EQ(std::cv_status::no_timeout, changed->wait_for(m, 0ns));
      m.unlock();
    }
  });
}

TEST_F(ConditionVariableAny, TimedOutWaitersLetItBeDestroyed) {
  baton::run([] {
    constexpr int waiters = 3;
    for (int round = 0; round < 500; ++round) {
      baton::mutex m;
      auto changed = std::make_unique<baton::condition_variable_any>();
      int waiting = 0;
      baton::event all_wait;
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < waiters; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          std::unique_lock lock(m);
          if (++waiting == waiters) all_wait.set();
          static_cast<void>(changed->wait_for(lock, std::chrono::microseconds(i * 20)));
        }));
      }
      all_wait.wait();
      {
        const std::lock_guard hold(m);
        changed->notify_all();
      }
      changed = nullptr;
      for (auto& f : fibers) f.join();
    }
  });
}

TEST_F(ConditionVariableAny, AnUnlockThatThrowsLeavesNothingBehind) {
  baton::run([] {
    hooked_lock m;
    baton::condition_variable_any changed;
    m.after_unlock = [] { throw std::runtime_error("no"); };
    m.lock();
    EXPECT_THROW(changed.wait(m), std::runtime_error);
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      const std::lock_guard hold(m);
      watch.about_to_wait();
      changed.wait(m);
    });
    watch.await_parked();
    changed.notify_one();  // for the waiter, and not for the one that has thrown
    waiter.join();
  });
}

TEST_F(ConditionVariableAny, AnUnlockThatThrowsAfterItsNotifyLetsItBeDestroyed) {
  baton::run([] {
    hooked_lock m;
    auto changed = std::make_unique<baton::condition_variable_any>();
    m.after_unlock = [&] {
      changed->notify_one();
      changed = nullptr;
      throw std::runtime_error("no");
    };
    m.lock();
    EXPECT_THROW(changed->wait(m), std::runtime_error);
  });
}

TEST_F(ConditionVariableAnyDeathTest, ALockThatThrowsEndsTheProcess) {
  struct throwing_lock {
    void lock() { throw std::runtime_error("no lock"); }
    void unlock() {}
  };
  EXPECT_DEATH(
      {
        throwing_lock m;
        baton::condition_variable_any changed;
        static_cast<void>(changed.wait_for(m, 1ms));
      },
      "no lock");
}

// Producers and consumers, each consumer with its own end: every item is taken once.
TEST_F(ConditionVariableAny, LosesNoNotify) {
  baton::run([] {
    constexpr int items = 2000;
    constexpr int consumers = 4;
    hooked_lock m;
    baton::condition_variable_any changed;
    int there = 0;
    int taken = 0;
    std::vector<baton::fiber<void>> fibers;
    for (int c = 0; c < consumers; ++c) {
      fibers.push_back(baton::spawn([&, c] {
        for (int i = 0; i < items / consumers; ++i) {
          const std::lock_guard hold(m);
          if (c % 2 == 0) {
            changed.wait(m, [&] { return there > 0; });
          } else {
            while (!changed.wait_for(m, 10us, [&] { return there > 0; })) {
            }
          }
          --there;
          ++taken;
        }
      }));
    }
    for (int i = 0; i < items; ++i) {
      {
        const std::lock_guard hold(m);
        ++there;
      }
      changed.notify_one();
      if (i % 8 == 0) baton::this_fiber::yield();
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(taken, items);
    EXPECT_EQ(there, 0);
  });
}

}  // namespace
