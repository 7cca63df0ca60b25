// Waits for a mutex, a semaphore and a condition that a context ends.
#include "parked.h"

#include <baton/runtime/condition_variable.h>
#include <baton/runtime/condition_variable_any.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/this_fiber.h>

#include <absl/status/status.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;

const baton::context never = baton::context::background();

TEST(MutexWithContext, IsLockedWhileTheContextIsNotDone) {
  baton::run([] {
    baton::mutex m;
    const auto ctx = baton::with_cancel(never);
    ASSERT_TRUE(m.lock(ctx).ok());
    EXPECT_FALSE(m.try_lock());
    m.unlock();
    ASSERT_TRUE(m.lock(never).ok());
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      watch.about_to_wait();
      const absl::Status s = m.lock(ctx);
      const std::unique_lock hold(m, std::adopt_lock);
      return s;
    });
    watch.await_parked();
    m.unlock();
    EXPECT_TRUE(waiter.join().ok());
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TEST(MutexWithContext, IsNotTakenOnceTheContextIsDone) {
  baton::run([] {
    baton::mutex m;
    const auto ctx = baton::with_cancel(never);
    ctx.cancel(absl::AbortedError("the client has gone"));
    const absl::Status s = m.lock(ctx);
    EXPECT_TRUE(absl::IsAborted(s));
    EXPECT_EQ(s.message(), "lock of a mutex: the client has gone");
    EXPECT_TRUE(m.try_lock()) << "it was free, and stayed so";
    m.unlock();
  });
}

TEST(MutexWithContext, ACancelEndsTheWait) {
  baton::mutex m;
  m.lock();
  const auto ctx = baton::with_cancel(never);
  watched_agent watch[2];
  std::jthread thread([&] {
    watch[0].about_to_wait();
    EXPECT_TRUE(absl::IsCancelled(m.lock(ctx)));
  });
  baton::run([&] {
    auto fiber = baton::spawn([&] {
      watch[1].about_to_wait();
      return m.lock(ctx);
    });
    for (const watched_agent& w : watch) w.await_parked();
    ctx.cancel();
    EXPECT_TRUE(absl::IsCancelled(fiber.join()));
  });
  thread.join();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(MutexWithContext, ADeadlineEndsTheWait) {
  baton::run([] {
    baton::mutex m;
    const std::lock_guard hold(m);
    EXPECT_TRUE(absl::IsDeadlineExceeded(m.lock(baton::with_timeout(never, 1ms))));
  });
}

// Waiters with a context leave the queue at any moment. Those behind them are served, and the mutex excludes.
TEST(MutexWithContext, ThoseThatLeaveHoldNobodyUp) {
  baton::run([] {
    for (int round = 0; round < 200; ++round) {
      baton::mutex m;
      const auto ctx = baton::with_cancel(never);
      int inside = 0;
      std::atomic<int> served{0};
      std::vector<baton::fiber<void>> fibers;
      constexpr int agents = 12;
      const auto critical = [&] {
        EXPECT_EQ(++inside, 1);
        baton::this_fiber::yield();
        --inside;
        ++served;
        m.unlock();
      };
      for (int i = 0; i < agents; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          if (i % 2 == 0) {
            m.lock();
            critical();
          } else if (m.lock(ctx).ok()) {
            critical();
          }
        }));
      }
      for (int i = 0; i < round % 7; ++i) baton::this_fiber::yield();
      ctx.cancel();
      for (auto& f : fibers) f.join();
      EXPECT_GE(served, agents / 2);
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    }
  });
}

TEST(SemaphoreWithContext, IsAcquiredWhileTheContextIsNotDone) {
  baton::run([] {
    baton::semaphore s(2);
    const auto ctx = baton::with_cancel(never);
    EXPECT_TRUE(s.acquire(ctx, 2).ok());
    EXPECT_FALSE(s.try_acquire());
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      watch.about_to_wait();
      return s.acquire(ctx);
    });
    watch.await_parked();
    s.release();
    EXPECT_TRUE(waiter.join().ok());
    s.release();
    EXPECT_TRUE(s.acquire(never).ok());
  });
}

TEST(SemaphoreWithContext, IsNotTakenOnceTheContextIsDone) {
  baton::run([] {
    baton::semaphore s(1);
    const auto ctx = baton::with_cancel(never);
    ctx.cancel();
    EXPECT_TRUE(absl::IsCancelled(s.acquire(ctx)));
    EXPECT_TRUE(s.try_acquire());
  });
}

// The one that leaves was first, and wanted more than there is. Those behind it can go on.
TEST(SemaphoreWithContext, ACancelLetsThoseBehindGoOn) {
  baton::run([] {
    baton::semaphore s(1);
    const auto ctx = baton::with_cancel(never);
    watched_agent watch[2];
    auto large = baton::spawn([&] {
      watch[0].about_to_wait();
      return s.acquire(ctx, 2);
    });
    watch[0].await_parked();
    auto small = baton::spawn([&] {
      watch[1].about_to_wait();
      s.acquire();
    });
    watch[1].await_parked();
    ctx.cancel(absl::AbortedError("too large"));
    const absl::Status end = large.join();
    EXPECT_EQ(end.message(), "acquire of a semaphore: too large");
    small.join();
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST(SemaphoreWithContext, LosesNoPermit) {
  baton::run([] {
    for (int round = 0; round < 500; ++round) {
      baton::semaphore s(0);
      const auto ctx = baton::with_cancel(never);
      auto waiter = baton::spawn([&] { return s.acquire(ctx).ok(); });
      auto canceller = baton::spawn([&] { ctx.cancel(); });
      if (round % 2 != 0) baton::this_fiber::yield();
      s.release();
      const bool taken = waiter.join();
      canceller.join();
      EXPECT_EQ(s.try_acquire(), !taken);
      EXPECT_FALSE(s.try_acquire());
    }
  });
}

template <class ConditionVariable>
class ConditionWithContext : public testing::Test {};
using condition_variables = testing::Types<baton::condition_variable, baton::condition_variable_any>;
TYPED_TEST_SUITE(ConditionWithContext, condition_variables);

TYPED_TEST(ConditionWithContext, IsWaitedForUntilTheContextIsDone) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    const auto ctx = baton::with_cancel(never);
    bool set = false;
    watched_agent watch[2];
    const auto wait = [&](watched_agent& w) {
      std::unique_lock lock(m);
      w.about_to_wait();
      return changed.wait(lock, ctx, [&] { return set; });
    };
    auto first = baton::spawn(wait, std::ref(watch[0]));
    watch[0].await_parked();
    {
      const std::lock_guard hold(m);
      set = true;
    }
    changed.notify_one();
    EXPECT_TRUE(first.join());
    set = false;
    auto second = baton::spawn(wait, std::ref(watch[1]));
    watch[1].await_parked();
    ctx.cancel();
    EXPECT_FALSE(second.join());
    std::unique_lock lock(m);
    EXPECT_FALSE(changed.wait(lock, ctx, [] { return false; })) << "it was done before";
    EXPECT_TRUE(changed.wait(lock, never, [] { return true; }));
    EXPECT_FALSE(changed.wait(lock, baton::with_timeout(never, 1ms), [] { return false; }));
  });
}

TYPED_TEST(ConditionWithContext, MayBeCancelledAtAnyMoment) {
  baton::run([] {
    baton::mutex m;
    TypeParam changed;
    for (int round = 0; round < 1000; ++round) {
      const auto ctx = baton::with_cancel(never);
      auto waiter = baton::spawn([&] {
        std::unique_lock lock(m);
        return changed.wait(lock, ctx, [] { return false; });
      });
      auto notifier = baton::spawn([&] { changed.notify_all(); });
      if (round % 2 != 0) baton::this_fiber::yield();
      ctx.cancel();
      EXPECT_FALSE(waiter.join());
      notifier.join();
    }
  });
}

}  // namespace
