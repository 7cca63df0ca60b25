#include "parked.h"
#include "seed.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/shared_mutex.h>
#include <baton/runtime/this_fiber.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;

TEST(SharedMutex, ReadersShareAndWritersDoNot) {
  baton::shared_mutex m;
  EXPECT_TRUE(m.try_lock_shared());
  EXPECT_TRUE(m.try_lock_shared());
  EXPECT_FALSE(m.try_lock());
  m.unlock_shared();
  EXPECT_FALSE(m.try_lock());
  m.unlock_shared();
  EXPECT_TRUE(m.try_lock());
  EXPECT_FALSE(m.try_lock());
  EXPECT_FALSE(m.try_lock_shared());
  m.unlock();
  m.lock_shared();
  m.unlock_shared();
  m.lock();
  m.unlock();
}

TEST(SharedMutex, TakesPartInStdLocking) {
  baton::shared_mutex a;
  baton::shared_mutex b;
  {
    const std::shared_lock reading(a);
    const std::shared_lock also(a);
    EXPECT_FALSE(a.try_lock());
  }
  {
    const std::scoped_lock both(a, b);
    EXPECT_FALSE(std::shared_lock(a, std::try_to_lock).owns_lock());
  }
  std::shared_lock timed(a, 1ms);
  EXPECT_TRUE(timed.owns_lock());
  EXPECT_FALSE(std::unique_lock(a, 1ms).owns_lock());
}

// As Go's TestParallelReaders.
TEST(SharedMutex, AllReadersAreInsideAtOnce) {
  baton::run([] {
    constexpr int readers = 20;
    baton::shared_mutex m;
    std::atomic<int> inside{0};
    baton::event all_inside;
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < readers; ++i) {
      fibers.push_back(baton::spawn([&] {
        const std::shared_lock reading(m);
        if (++inside == readers) all_inside.set();
        all_inside.wait();
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

// As Go's HammerRWMutex.
void hammer(int readers, int writers, int rounds) {
  baton::run([=] {
    baton::shared_mutex m;
    std::atomic<int> activity{0};  // 10,000 per writer
    std::vector<baton::fiber<void>> fibers;
    const auto write = [&] {
      for (int i = 0; i < rounds; ++i) {
        const std::lock_guard writing(m);
        ASSERT_EQ(activity.fetch_add(10'000), 0);
        if (i % 8 == 0) baton::this_fiber::yield();
        ASSERT_EQ(activity.fetch_sub(10'000), 10'000);
      }
    };
    const auto read = [&] {
      for (int i = 0; i < rounds; ++i) {
        const std::shared_lock reading(m);
        const int n = activity.fetch_add(1);
        ASSERT_TRUE(n >= 0 && n < 10'000) << n;
        if (i % 4 == 0) baton::this_fiber::yield();
        activity.fetch_sub(1);
      }
    };
    for (int i = 0; i < readers + writers; ++i) {
      fibers.push_back(i % 5 < 1 && writers > 0 ? baton::spawn(write) : baton::spawn(read));
    }
    for (int i = 0; i < writers; ++i) fibers.push_back(baton::spawn(write));
    std::thread reader(read);
    std::thread writer(write);
    for (auto& f : fibers) f.join();
    reader.join();
    writer.join();
    EXPECT_EQ(activity, 0);
  });
}

TEST(SharedMutex, ExcludesWritersFromEverybody) {
  hammer(1, 1, 1'000);
  hammer(3, 1, 1'000);
  hammer(10, 1, 500);
  hammer(10, 5, 300);
}

TEST(SharedMutex, AWaitingWriterIsNotPassedByReaders) {
  baton::run([] {
    baton::shared_mutex m;
    watched_agent writer;
    watched_agent reader;
    std::vector<int> order;
    m.lock_shared();
    auto w = baton::spawn([&] {
      writer.about_to_wait();
      const std::lock_guard writing(m);
      order.push_back(1);
    });
    writer.await_parked();
    EXPECT_FALSE(m.try_lock_shared());
    auto r = baton::spawn([&] {
      reader.about_to_wait();
      const std::shared_lock reading(m);
      order.push_back(2);
    });
    reader.await_parked();
    m.unlock_shared();
    w.join();
    r.join();
    EXPECT_EQ(order, (std::vector<int>{1, 2}));
  });
}

TEST(SharedMutex, ReadersThatNeverAllLeaveDoNotStarveAWriter) {
  baton::run([] {
    baton::shared_mutex m;
    std::atomic<bool> written{false};
    // Each reader leaves only after the other has come in again, while that is possible.
    std::vector<baton::fiber<void>> readers;
    for (int i = 0; i < 4; ++i) {
      readers.push_back(baton::spawn([&] {
        while (!written) {
          const std::shared_lock reading(m);
          baton::this_fiber::yield();
        }
      }));
    }
    auto w = baton::spawn([&] {
      for (int i = 0; i < 20; ++i) {
        const std::lock_guard writing(m);
        baton::this_fiber::yield();
      }
      written = true;
    });
    w.join();
    for (auto& r : readers) r.join();
  });
}

TEST(SharedMutex, AWriterThatUnlocksLetsAllWaitingReadersIn) {
  baton::run([] {
    constexpr std::size_t readers = 5;
    baton::shared_mutex m;
    watched_agent next_writer;
    std::deque<watched_agent> watch(readers);
    std::vector<baton::fiber<void>> fibers;
    std::atomic<std::size_t> inside{0};
    baton::event all_inside;
    std::atomic<bool> written{false};
    m.lock();
    auto w = baton::spawn([&] {
      next_writer.about_to_wait();
      const std::lock_guard writing(m);
      EXPECT_EQ(inside, readers);
      written = true;
    });
    next_writer.await_parked();
    for (std::size_t i = 0; i < readers; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        const std::shared_lock reading(m);
        EXPECT_FALSE(written);
        if (++inside == readers) all_inside.set();
        all_inside.wait();
      }));
      watch[i].await_parked();
    }
    m.unlock();
    w.join();
    for (auto& f : fibers) f.join();
  });
}

TEST(SharedMutex, ABusyWriterStarvesNobody) {
  baton::run([] {
    baton::shared_mutex m;
    watched_agent a_writer;
    watched_agent a_reader;
    std::atomic<int> got{0};
    m.lock();
    auto w = baton::spawn([&] {
      a_writer.about_to_wait();
      const std::lock_guard writing(m);
      ++got;
    });
    auto r = baton::spawn([&] {
      a_reader.about_to_wait();
      const std::shared_lock reading(m);
      ++got;
    });
    a_writer.await_parked();
    a_reader.await_parked();
    while (got < 2) {
      m.unlock();
      m.lock();
    }
    m.unlock();
    w.join();
    r.join();
  });
}

// A writer was woken and has not run yet, and the lock was taken past it. The readers that came meanwhile need not wait
// until it has run.
TEST(SharedMutex, AWriterThatWasWokenDoesNotHoldUpTheReaders) {
  const int procs = baton::set_procs(1);
  baton::run([] {
    bool tried = false;
    for (int round = 0; round < 1'000 && !tried; ++round) {
      baton::shared_mutex m;
      watched_agent a_writer;
      watched_agent a_reader;
      baton::event may_leave;
      m.lock();
      auto w = baton::spawn([&] {
        a_writer.about_to_wait();
        const std::lock_guard writing(m);
      });
      a_writer.await_parked();
      m.unlock();
      // Takes the lock past the writer, which needs this P. A writer that has waited for long owns the lock already.
      if (!m.try_lock()) continue;
      tried = true;
      std::thread r([&] {
        a_reader.about_to_wait();
        const std::shared_lock reading(m);
        may_leave.wait();
      });
      a_reader.await_parked_without_switching();
      m.unlock();
      if (m.try_lock()) {
        ADD_FAILURE() << "the reader was not let in";
        m.unlock();
      }
      may_leave.set();
      w.join();
      baton::blocking([&] { r.join(); });
    }
    EXPECT_TRUE(tried);
  });
  baton::set_procs(procs);
}

TEST(SharedMutex, TimedLocksGiveUpNotBeforeTheirTime) {
  baton::run([] {
    baton::shared_mutex m;
    m.lock();
    const auto begin = clock::now();
    EXPECT_FALSE(m.try_lock_for(2ms));
    EXPECT_GE(clock::now() - begin, 2ms);
    EXPECT_FALSE(m.try_lock_shared_for(2ms));
    EXPECT_GE(clock::now() - begin, 4ms);
    EXPECT_FALSE(m.try_lock_until(clock::now() - 1s));
    EXPECT_FALSE(m.try_lock_shared_until(std::chrono::system_clock::now() + 1ms));
    std::thread([&] {
      EXPECT_FALSE(m.try_lock_for(1ms));
      EXPECT_FALSE(m.try_lock_shared_for(1ms));
    }).join();
    m.unlock();
    EXPECT_TRUE(m.try_lock_shared_for(std::chrono::hours::max()));
    EXPECT_TRUE(m.try_lock_shared_for(-1h)) << "what is free is taken also when the time is past";
    EXPECT_FALSE(m.try_lock_for(0ms));
    m.unlock_shared();
    m.unlock_shared();
    EXPECT_TRUE(m.try_lock_until(clock::now() - 1s));
    m.unlock();
  });
}

TEST(SharedMutex, AWriterThatGivesUpLetsTheReadersBehindItIn) {
  baton::run([] {
    baton::shared_mutex m;
    watched_agent writer;
    m.lock_shared();
    auto w = baton::spawn([&] {
      writer.about_to_wait();
      return m.try_lock_for(10ms);
    });
    writer.await_parked();
    // Not before the writer has left, and not only at this fiber's unlock.
    EXPECT_TRUE(m.try_lock_shared_for(1h));
    EXPECT_FALSE(w.join());
    m.unlock_shared();
    m.unlock_shared();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TEST(SharedMutex, MixedOperationsWithDeadlines) {
  const auto seed = static_cast<unsigned>(baton::test::seed_of_this_run());
  baton::run([seed] {
    baton::shared_mutex m;
    long guarded = 0;  // written by writers, read by readers: for ThreadSanitizer as well
    std::atomic<long> writes{0};
    std::atomic<int> inside{0};
    const auto work = [&](unsigned which) {
      std::mt19937 random(seed + which);
      const auto write = [&] {
        ASSERT_EQ(inside.fetch_add(1'000), 0);
        ++guarded;
        ++writes;
        if (random() % 8 == 0) baton::this_fiber::yield();
        inside.fetch_sub(1'000);
        m.unlock();
      };
      const auto read = [&] {
        ASSERT_LT(inside.fetch_add(1), 1'000);
        ASSERT_LE(guarded, writes.load());
        if (random() % 8 == 0) baton::this_fiber::yield();
        if (random() % 64 == 0) baton::this_fiber::sleep_for(20us);
        inside.fetch_sub(1);
        m.unlock_shared();
      };
      for (int i = 0; i < 400; ++i) {
        const std::chrono::microseconds patience(random() % 40);
        switch (random() % 8) {
          case 0:
            m.lock();
            write();
            break;
          case 1:
            if (m.try_lock()) write();
            break;
          case 2:
          case 3:
            if (m.try_lock_for(patience)) write();
            break;
          case 4:
            m.lock_shared();
            read();
            break;
          case 5:
            if (m.try_lock_shared()) read();
            break;
          default:
            if (m.try_lock_shared_for(patience)) read();
            break;
        }
      }
    };
    std::vector<baton::fiber<void>> fibers;
    for (unsigned i = 0; i < 24; ++i) fibers.push_back(baton::spawn(work, i));
    std::thread a(work, 100);
    std::thread b(work, 101);
    for (auto& f : fibers) f.join();
    a.join();
    b.join();
    EXPECT_EQ(guarded, writes);
    EXPECT_TRUE(m.try_lock()) << "somebody left it locked";
    m.unlock();
  });
}

// The last agent to unlock destroys the lock, while the others may still be inside their unlock().
TEST(SharedMutex, MayBeDestroyedByWhoLocksItAfterAnUnlock) {
  struct shared {
    baton::shared_mutex m;
    std::atomic<int> users{6};
  };
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      auto* const s = new shared;
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 6; ++i) {
        fibers.push_back(baton::spawn([s, i, round] {
          if ((i + round) % 3 == 0) {
            s->m.lock();
            if (round % 4 == 0) baton::this_fiber::yield();
            s->m.unlock();
          } else {
            s->m.lock_shared();
            if (round % 4 == 0) baton::this_fiber::yield();
            s->m.unlock_shared();
          }
          if (s->users.fetch_sub(1) == 1) delete s;
        }));
      }
      for (auto& f : fibers) f.join();
    }
    // The same, with the lock itself as the only sign.
    struct counted {
      baton::shared_mutex m;
      int users = 4;
    };
    for (int round = 0; round < 300; ++round) {
      auto* const s = new counted;
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([s, round] {
          s->m.lock();
          const bool last = --s->users == 0;
          if (round % 4 == 0) baton::this_fiber::yield();
          s->m.unlock();
          if (last) delete s;
        }));
      }
      for (auto& f : fibers) f.join();
    }
  });
}

TEST(SharedMutexDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        baton::shared_mutex m;
        m.unlock();
      },
      "unlock of a shared_mutex that is not locked for writing");
  EXPECT_DEATH(
      {
        baton::shared_mutex m;
        m.lock_shared();
        m.unlock();
      },
      "unlock of a shared_mutex that is not locked for writing");
  EXPECT_DEATH(baton::run([] {
                 baton::this_fiber::set_name("careless");
                 baton::shared_mutex m;
                 m.lock();
                 m.unlock_shared();
               }),
               "fiber [0-9]+ \"careless\".*unlock_shared of a shared_mutex that nobody reads");
}

TEST(SharedMutexDeathTest, ReadersWithoutEndAbort) {
  if (BATON_TSAN) GTEST_SKIP() << "it would take minutes";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        baton::shared_mutex m;
        for (std::uint64_t i = 0; i < std::uint64_t{1} << 28; ++i) m.lock_shared();
      },
      "shared_mutex: 2\\^27 readers at once; an unlock_shared is missing");
}

}  // namespace
