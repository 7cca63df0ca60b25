// Waits of condition variables that a stop token ends. Each test runs for condition_variable and
// condition_variable_any.
#include "parked.h"

#include <baton/runtime/condition_variable.h>
#include <baton/runtime/condition_variable_any.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/shared_mutex.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;

template <class ConditionVariable>
class StopToken : public testing::Test {};
using condition_variables = testing::Types<baton::condition_variable, baton::condition_variable_any>;
TYPED_TEST_SUITE(StopToken, condition_variables);

TYPED_TEST(StopToken, EndsAWait) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    std::stop_source source;
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      std::unique_lock lock(m);
      watch.about_to_wait();
      const bool result = changed.wait(lock, source.get_token(), [] { return false; });
      EXPECT_TRUE(lock.owns_lock());
      return result;
    });
    watch.await_parked();
    source.request_stop();
    EXPECT_FALSE(waiter.join());
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TYPED_TEST(StopToken, EndsAWaitOfAPlainThread) {
  baton::mutex m;
  TypeParam changed;
  std::stop_source source;
  watched_agent watch;
  std::jthread waiter([&] {
    std::unique_lock lock(m);
    watch.about_to_wait();
    EXPECT_FALSE(changed.wait(lock, source.get_token(), [] { return false; }));
  });
  baton::run([&] {
    watch.await_parked();
    source.request_stop();
  });
}

TYPED_TEST(StopToken, ThatWasStoppedBeforeLetsNoneWait) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    std::stop_source source;
    source.request_stop();
    std::unique_lock lock(m);
    int calls = 0;
    const auto no = [&] { return ++calls < 0; };
    EXPECT_FALSE(changed.wait(lock, source.get_token(), no));
    EXPECT_EQ(calls, 1);
    EXPECT_FALSE(changed.wait_for(lock, source.get_token(), 1h, no));
    EXPECT_FALSE(changed.wait_until(lock, source.get_token(), std::chrono::system_clock::now() + 1h, no));
    EXPECT_TRUE(changed.wait(lock, source.get_token(), [] { return true; }));
  });
}

TYPED_TEST(StopToken, WithoutAStateIsNoHindrance) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    bool set = false;
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      std::unique_lock lock(m);
      watch.about_to_wait();
      return changed.wait(lock, std::stop_token(), [&] { return set; });
    });
    watch.await_parked();
    {
      const std::lock_guard hold(m);
      set = true;
    }
    changed.notify_one();
    EXPECT_TRUE(waiter.join());
    std::unique_lock lock(m);
    EXPECT_FALSE(changed.wait_for(lock, std::stop_token(), 1ms, [] { return false; }));
    EXPECT_FALSE(
        changed.wait_until(lock, std::stop_token(), std::chrono::system_clock::now() + 1ms, [] { return false; }));
  });
}

TYPED_TEST(StopToken, EndsTimedWaits) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    std::stop_source source;
    watched_agent watch[2];
    auto for_a_time = baton::spawn([&] {
      std::unique_lock lock(m);
      watch[0].about_to_wait();
      return changed.wait_for(lock, source.get_token(), std::chrono::hours::max(), [] { return false; });
    });
    auto until = baton::spawn([&] {
      std::unique_lock lock(m);
      watch[1].about_to_wait();
      return changed.wait_until(lock, source.get_token(), std::chrono::system_clock::now() + 1h, [] { return false; });
    });
    for (const watched_agent& w : watch) w.await_parked();
    source.request_stop();
    EXPECT_FALSE(for_a_time.join());
    EXPECT_FALSE(until.join());
  });
}

TYPED_TEST(StopToken, LetsADeadlineEndTheWait) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    std::stop_source source;
    std::unique_lock lock(m);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(changed.wait_for(lock, source.get_token(), 2ms, [] { return false; }));
    EXPECT_FALSE(changed.wait_until(lock, source.get_token(), start + 4ms, [] { return false; }));
    EXPECT_GE(std::chrono::steady_clock::now() - start, 4ms);
    EXPECT_FALSE(source.stop_requested());
  });
}

TYPED_TEST(StopToken, GivesThePredicateTheLastWord) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    std::stop_source source;
    bool set = false;
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      std::unique_lock lock(m);
      watch.about_to_wait();
      return changed.wait(lock, source.get_token(), [&] { return set; });
    });
    watch.await_parked();
    {
      const std::lock_guard hold(m);
      set = true;  // and no fiber notifies
    }
    source.request_stop();
    EXPECT_TRUE(waiter.join());
  });
}

// One stop ends many waits, also of those behind which others wait without a token.
TYPED_TEST(StopToken, LeavesOthersWaiting) {
  baton::run([] {
    constexpr std::size_t pairs = 8;
    baton::mutex m;
    TypeParam changed;
    std::stop_source source;
    std::atomic<int> notified{0};
    std::deque<watched_agent> watch(2 * pairs);
    std::vector<baton::fiber<void>> stopped;
    std::vector<baton::fiber<void>> others;
    for (std::size_t i = 0; i < pairs; ++i) {
      stopped.push_back(baton::spawn([&, i] {
        std::unique_lock lock(m);
        watch[2 * i].about_to_wait();
        EXPECT_FALSE(changed.wait(lock, source.get_token(), [] { return false; }));
      }));
      watch[2 * i].await_parked();
      others.push_back(baton::spawn([&, i] {
        std::unique_lock lock(m);
        watch[2 * i + 1].about_to_wait();
        changed.wait(lock);
        ++notified;
      }));
      watch[2 * i + 1].await_parked();
    }
    source.request_stop();
    for (auto& f : stopped) f.join();
    EXPECT_EQ(notified, 0);
    for (std::size_t i = 0; i < pairs; ++i) {
      changed.notify_one();
      others[i].join();
      EXPECT_EQ(notified, static_cast<int>(i) + 1);
    }
  });
}

// A notify that meets a waiter which is being stopped must wake the other one, or be seen by the first one's predicate.
TYPED_TEST(StopToken, LosesNoNotify) {
  baton::run([] {
    for (int round = 0; round < 2000; ++round) {
      baton::mutex m;
      TypeParam changed;
      std::stop_source source;
      int items = 0;
      const auto consume = [&](std::stop_token stop) {
        std::unique_lock lock(m);
        if (!changed.wait(lock, std::move(stop), [&] { return items > 0; })) return 0;
        --items;
        return 1;
      };
      auto first = baton::spawn(consume, source.get_token());
      auto second = baton::spawn(consume, std::stop_token());
      auto stopper = baton::spawn([&] { source.request_stop(); });
      const auto produce = [&] {
        {
          const std::lock_guard hold(m);
          ++items;
        }
        changed.notify_one();
      };
      if (round % 2 != 0) baton::this_fiber::yield();
      produce();
      const int taken = first.join();
      if (taken == 1) produce();  // the first had the one item
      EXPECT_EQ(second.join(), 1);
      stopper.join();
      EXPECT_EQ(items, 0);
    }
  });
}

// The last waiters leave because of the stop while they are notified, and the condition variable is destroyed at once.
TYPED_TEST(StopToken, LetsItBeDestroyedAfterNotifyAll) {
  baton::run([] {
    constexpr int waiters = 3;
    for (int round = 0; round < 1000; ++round) {
      auto m = std::make_unique<baton::mutex>();
      auto changed = std::make_unique<TypeParam>();
      std::stop_source source;
      int waiting = 0;
      bool over = false;
      baton::event all_wait;
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < waiters; ++i) {
        fibers.push_back(baton::spawn([&] {
          std::unique_lock lock(*m);
          if (++waiting == waiters) all_wait.set();
          changed->wait(lock, source.get_token(), [&] { return over; });
        }));
      }
      all_wait.wait();
      auto stopper = baton::spawn([&] { source.request_stop(); });
      if (round % 2 != 0) baton::this_fiber::yield();
      {
        const std::lock_guard hold(*m);
        over = true;
        changed->notify_all();
      }
      changed = nullptr;
      for (auto& f : fibers) f.join();
      stopper.join();
    }
  });
}

// The request comes while the agent registers with the token, waits, or ends its registration.
TYPED_TEST(StopToken, MayBeStoppedAtAnyMoment) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    for (int round = 0; round < 3000; ++round) {
      std::stop_source source;
      auto waiter = baton::spawn([&] {
        std::unique_lock lock(m);
        return changed.wait_for(lock, source.get_token(), std::chrono::microseconds(round % 50), [] { return false; });
      });
      std::jthread other;
      if (round % 100 == 0) {
        other = std::jthread([&] { source.request_stop(); });
      } else {
        if (round % 2 != 0) baton::this_fiber::yield();
        source.request_stop();
      }
      EXPECT_FALSE(waiter.join());
    }
  });
}

TEST(StopTokenOfASharedMutex, EndsTheWaitsOfReadersAndWriters) {
  baton::run([] {
    baton::shared_mutex m;
    baton::condition_variable changed;
    std::stop_source source;
    watched_agent watch[2];
    auto reader = baton::spawn([&] {
      std::shared_lock lock(m);
      watch[0].about_to_wait();
      return changed.wait(lock, source.get_token(), [] { return false; });
    });
    auto writer = baton::spawn([&] {
      std::unique_lock lock(m);
      watch[1].about_to_wait();
      return changed.wait(lock, source.get_token(), [] { return false; });
    });
    for (const watched_agent& w : watch) w.await_parked();
    source.request_stop();
    EXPECT_FALSE(reader.join());
    EXPECT_FALSE(writer.join());
  });
}

}  // namespace
