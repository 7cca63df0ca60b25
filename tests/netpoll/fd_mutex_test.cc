#include <baton/netpoll/fd_mutex.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>

#include <gtest/gtest.h>
#include <atomic>
#include <thread>
#include <vector>

namespace baton::net {
namespace {

using side = fd_mutex::side;
using released = fd_mutex::released;
using locked = fd_mutex::locked;

TEST(FdMutex, ReadersAndWritersDoNotExcludeEachOther) {
  fd_mutex m;
  ASSERT_EQ(m.lock(side::read), locked::yes);
  ASSERT_EQ(m.lock(side::write), locked::yes);
  EXPECT_EQ(m.unlock(side::read), released::in_use);
  EXPECT_EQ(m.unlock(side::write), released::in_use);
}

TEST(FdMutex, LastReferenceAfterCloseIsReportedOnce) {
  fd_mutex m;
  ASSERT_TRUE(m.acquire());
  ASSERT_EQ(m.lock(side::read), locked::yes);
  ASSERT_TRUE(m.close());
  EXPECT_FALSE(m.close());
  EXPECT_FALSE(m.acquire());
  EXPECT_EQ(m.lock(side::read), locked::closed);
  EXPECT_EQ(m.lock(side::write), locked::closed);
  EXPECT_EQ(m.release(), released::in_use);
  EXPECT_EQ(m.release(), released::in_use);
  EXPECT_EQ(m.unlock(side::read), released::last);
}

TEST(FdMutexDeathTest, UnlockOfAnUnlockedSideAborts) {
  fd_mutex m;
  EXPECT_DEATH((void)m.unlock(side::write), "not locked");
}

TEST(FdMutex, CloseWakesTheQueue) {
  fd_mutex m;
  ASSERT_EQ(m.lock(side::read), locked::yes);
  std::atomic<int> failed{0};
  std::atomic<int> lasts{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const locked got = m.lock(side::read);
      if (got == locked::yes) return;
      ++failed;
      if (got == locked::closed_held && m.release() == released::last) ++lasts;
    });
  }
  ASSERT_TRUE(m.close());
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failed, 4);
  EXPECT_EQ(m.unlock(side::read), released::in_use);
  EXPECT_EQ(m.release(), released::last);
  EXPECT_EQ(lasts, 0);
}

// Fibers and plain threads hammer both sides; a close in the middle; exactly one `last`.
TEST(FdMutex, StressMutualExclusionAndOneLast) {
  for (int round = 0; round < 30; ++round) {
    fd_mutex m;
    std::atomic<int> inside[2] = {0, 0};
    std::atomic<int> lasts{0};
    std::atomic<int> rounds{0};
    const auto hammer = [&](int n) {
      const side s = n % 2 == 0 ? side::read : side::write;
      for (;;) {
        if (n % 5 == 4) {
          if (!m.acquire()) return;
          if (m.release() == released::last) ++lasts;
        } else {
          const locked got = m.lock(s);
          if (got == locked::closed_held && m.release() == released::last) ++lasts;
          if (got != locked::yes) return;
          EXPECT_EQ(inside[n % 2].fetch_add(1), 0);
          if (n % 3 == 0) sched::yield();
          inside[n % 2].fetch_sub(1);
          if (m.unlock(s) == released::last) ++lasts;
        }
        ++rounds;
        if (n % 4 == 0) sched::yield();
      }
    };
    std::vector<std::thread> threads;
    for (int n = 0; n < 2; ++n) threads.emplace_back(hammer, n);
    run([&] {
      std::vector<fiber<void>> fibers;
      for (int n = 0; n < 10; ++n) fibers.push_back(spawn(hammer, n));
      while (rounds.load() < 500) sched::yield();
      ASSERT_TRUE(m.close());
      if (m.release() == released::last) ++lasts;
      for (fiber<void>& f : fibers) f.join();
    });
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(lasts, 1);
  }
}

}  // namespace
}  // namespace baton::net
