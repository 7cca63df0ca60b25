// A condition_variable with a shared_mutex, held for writing or for reading.
#include <baton/baton.h>

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace {

using namespace std::chrono_literals;

class SharedCondition : public testing::TestWithParam<int> {
 protected:
  SharedCondition() : before_(baton::set_procs(GetParam())) {}
  ~SharedCondition() override { baton::set_procs(before_); }

 private:
  int before_;
};

TEST_P(SharedCondition, ReadersAndWritersWaitForWhatAWriterChanges) {
  baton::shared_mutex m;
  baton::condition_variable changed;
  long value = 0;
  constexpr int rounds = 300;
  std::vector<baton::fiber<void>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(baton::spawn([&] {
      for (long seen = 0; seen < rounds;) {
        std::shared_lock lock(m);
        changed.wait(lock, [&] { return value > seen; });
        EXPECT_TRUE(lock.owns_lock());
        EXPECT_FALSE(m.try_lock());
        seen = value;
      }
    }));
    all.push_back(baton::spawn([&] {
      for (long seen = 0; seen < rounds;) {
        std::unique_lock lock(m);
        while (value <= seen) changed.wait(lock);
        EXPECT_FALSE(m.try_lock_shared());
        seen = value;
      }
    }));
  }
  for (int i = 0; i < rounds; ++i) {
    {
      const std::lock_guard lock(m);
      ++value;
    }
    changed.notify_all();
    if (i % 8 == 0) std::this_thread::yield();
  }
  for (auto& f : all) f.join();
}

INSTANTIATE_TEST_SUITE_P(Procs, SharedCondition, testing::Values(1, 2, 8));

TEST(SharedConditionTimes, RunOutWithTheLockHeldAgain) {
  baton::spawn([] {
    baton::shared_mutex m;
    baton::condition_variable never;
    const auto soon = [] { return std::chrono::steady_clock::now() + 1ms; };
    {
      std::shared_lock lock(m);
      EXPECT_EQ(never.wait_for(lock, 1ms), std::cv_status::timeout);
      EXPECT_EQ(never.wait_until(lock, soon()), std::cv_status::timeout);
      EXPECT_FALSE(never.wait_for(lock, 1ms, [] { return false; }));
      EXPECT_FALSE(never.wait_until(lock, soon(), [] { return false; }));
      EXPECT_TRUE(never.wait_for(lock, 1h, [] { return true; }));
      EXPECT_TRUE(lock.owns_lock());
      EXPECT_FALSE(m.try_lock());
    }
    {
      std::unique_lock lock(m);
      EXPECT_EQ(never.wait_for(lock, 1ms), std::cv_status::timeout);
      EXPECT_FALSE(never.wait_until(lock, soon(), [] { return false; }));
      EXPECT_FALSE(m.try_lock_shared());
    }
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  }).join();
}

// The lock is free for others during the wait.
TEST(SharedConditionTimes, TheLockIsFreeMeanwhile) {
  baton::spawn([] {
    baton::shared_mutex m;
    baton::condition_variable c;
    bool go_on = false;
    auto waits = baton::spawn([&] {
      std::shared_lock lock(m);
      c.wait(lock, [&] { return go_on; });
    });
    while (baton::stats().fibers_parked == 0) baton::this_fiber::yield();
    m.lock();
    go_on = true;
    m.unlock();
    c.notify_one();
    waits.join();
  }).join();
}

TEST(SharedConditionDeathTest, WaitingWithoutTheLockAborts) {
  baton::shared_mutex m;
  baton::condition_variable c;
  std::shared_lock lock(m, std::defer_lock);
  EXPECT_DEATH(c.wait(lock), "wait on a condition_variable without holding the mutex");
}

}  // namespace
