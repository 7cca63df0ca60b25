#include "parked.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN

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

TEST(Event, LetsThroughWhileItIsSet) {
  baton::event e;
  EXPECT_FALSE(e.is_set());
  e.set();
  e.set();
  EXPECT_TRUE(e.is_set());
  e.wait();
  e.wait();
  EXPECT_TRUE(e.wait_for(0ms));
  EXPECT_TRUE(e.wait_for(-1h));
  e.reset();
  e.reset();
  EXPECT_FALSE(e.is_set());
  EXPECT_FALSE(e.wait_for(0ms));
}

TEST(Event, WakesAllFibersAndThreads) {
  baton::event e;
  int data = 0;
  std::deque<watched_agent> watch(9);
  std::atomic<int> sum{0};
  const auto wait = [&](std::size_t i, bool timed) {
    watch[i].about_to_wait();
    if (timed) {
      EXPECT_TRUE(e.wait_for(std::chrono::hours::max()));
    } else {
      e.wait();
    }
    sum += data;
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) threads.emplace_back(wait, i, i % 2 == 1);
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 4; i < 9; ++i) fibers.push_back(baton::spawn(wait, i, i % 2 == 1));
    for (const auto& w : watch) w.await_parked();
    data = 7;
    e.set();
    for (auto& f : fibers) f.join();
  });
  for (auto& t : threads) t.join();
  EXPECT_EQ(sum.load(), 63);
}

TEST(Event, APulseWakesEverybodyWhoWaited) {
  baton::run([] {
    for (int round = 0; round < 50; ++round) {
      baton::event e;
      std::deque<watched_agent> watch(4);
      std::vector<baton::fiber<bool>> fibers;
      for (std::size_t i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          watch[i].about_to_wait();
          return e.wait_for(std::chrono::hours(1));
        }));
      }
      for (const auto& w : watch) w.await_parked();
      e.set();
      e.reset();
      for (auto& f : fibers) EXPECT_TRUE(f.join());
      EXPECT_FALSE(e.is_set());
    }
  });
}

TEST(Event, TimesOutNotBeforeItsTime) {
  baton::run([] {
    baton::event e;
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(e.wait_for(3ms));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 3ms);
    EXPECT_FALSE(e.wait_until(std::chrono::steady_clock::now() - 1s));
    EXPECT_FALSE(e.wait_until(std::chrono::system_clock::now() + 1ms));
    e.set();
    EXPECT_TRUE(e.wait_until(std::chrono::steady_clock::now() - 1s));
  });
  std::thread([] {
    baton::event e;
    EXPECT_FALSE(e.wait_for(2ms));
  }).join();
}

// Nodes are taken out of the middle, the head and the end of the list while other agents wait.
TEST(Event, ThoseWhoTimeOutLeaveTheOthersWaiting) {
  baton::run([] {
    baton::event e;
    std::deque<watched_agent> watch(3);
    std::vector<baton::fiber<void>> stay;
    std::vector<baton::fiber<bool>> leave;
    for (std::size_t i = 0; i < 3; ++i) {
      leave.push_back(baton::spawn([&, i] { return e.wait_for(std::chrono::milliseconds(i)); }));
      stay.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        e.wait();
      }));
      watch[i].await_parked();
      leave.push_back(baton::spawn([&, i] { return e.wait_for(std::chrono::milliseconds(3 - i)); }));
    }
    for (auto& f : leave) EXPECT_FALSE(f.join());
    e.set();
    for (auto& f : stay) f.join();
  });
}

// Many waiters leave at once, the oldest first. If each had to walk past the younger ones, this would take seconds.
TEST(Event, ManyTimeOutTogether) {
  baton::run([] {
    constexpr int many = BATON_TSAN ? 2'000 : 20'000;  // ThreadSanitizer can hold 8,000 fibers
    baton::event e;
    baton::wait_group left;
    left.add(many);
    const auto end = std::chrono::steady_clock::now() + 100ms;
    for (int i = 0; i < many; ++i) {
      baton::go({.stack_size = 16 * 1024}, [&] {
        EXPECT_FALSE(e.wait_until(end));
        left.done();
      });
    }
    left.wait();
    e.set();
    e.wait();
  });
}

// Each round has waiters whose deadlines pass about when the event is set, and one that has no deadline.
TEST(Event, TimeoutsRaceWithSet) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      baton::event e;
      std::vector<baton::fiber<void>> fibers;
      std::atomic<int> started{0};
      for (int i = 0; i < 6; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          ++started;
          if (i == 3) {
            e.wait();
            EXPECT_TRUE(e.is_set());
          } else if (e.wait_for(std::chrono::microseconds(round % 60 + i * 3))) {
            EXPECT_TRUE(e.is_set());
          }
        }));
      }
      while (started.load() < 6) baton::this_fiber::yield();
      baton::this_fiber::sleep_for(std::chrono::microseconds(round % 50));
      e.set();
      for (auto& f : fibers) f.join();
    }
  });
}

TEST(Event, TimeoutsRaceWithSetAndReset) {
  baton::event e;
  std::atomic<bool> stop{false};
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 6; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        for (int n = 0; n < 400; ++n) (void)e.wait_for(std::chrono::microseconds((n + i) % 20));
      }));
    }
    auto setter = baton::spawn([&] {
      while (!stop.load()) {
        e.set();
        e.reset();
        baton::this_fiber::yield();
      }
    });
    for (auto& f : fibers) f.join();
    stop = true;
    setter.join();
    EXPECT_FALSE(e.wait_for(1us)) << "a node was left behind";
    e.set();
    e.wait();
  });
}

// What is written before set() must be seen by an agent that resets the event and then checks.
TEST(Event, ResetLosesNoSet) {
  baton::event work;
  std::atomic<long> posted{0};
  long seen = 0;
  constexpr long total = 20'000;
  std::thread poster([&] {
    for (long i = 0; i < total; ++i) {
      posted.fetch_add(1, std::memory_order_relaxed);
      work.set();
    }
  });
  baton::run([&] {
    while (seen < total) {
      work.wait();
      work.reset();
      seen = posted.load(std::memory_order_relaxed);
    }
  });
  poster.join();
  EXPECT_EQ(seen, total);
}

TEST(Event, RoundTripsOfTwoFibers) {
  baton::run([] {
    baton::event ping;
    baton::event pong;
    int turns = 0;
    auto other = baton::spawn([&] {
      for (int i = 0; i < 20'000; ++i) {
        ping.wait();
        ping.reset();
        ++turns;
        pong.set();
      }
    });
    for (int i = 0; i < 20'000; ++i) {
      ping.set();
      pong.wait();
      pong.reset();
      ASSERT_EQ(turns, i + 1);
    }
    other.join();
  });
}

TEST(Event, RoundTripsOfAFiberAndAThread) {
  baton::event ping;
  baton::event pong;
  std::thread other([&] {
    for (int i = 0; i < 2'000; ++i) {
      ping.wait();
      ping.reset();
      pong.set();
    }
  });
  baton::run([&] {
    for (int i = 0; i < 2'000; ++i) {
      ping.set();
      pong.wait();
      pong.reset();
    }
  });
  other.join();
}

// The event is destroyed as soon as wait() has returned; the set() on the other side must not touch it then.
TEST(Event, MayBeDestroyedAsSoonAsWaitReturns) {
  baton::run([] {
    for (int round = 0; round < 2'000; ++round) {
      auto e = std::make_unique<baton::event>();
      auto setter = baton::spawn([p = e.get()] { p->set(); });
      if (round % 3 == 0) baton::this_fiber::yield();
      if (round % 2 == 0) {
        e->wait();
      } else {
        EXPECT_TRUE(e->wait_for(std::chrono::hours(1)));
      }
      e.reset();
      setter.join();
    }
  });
}

TEST(Event, MayBeDestroyedByAThreadAsSoonAsWaitReturns) {
  baton::run([] {
    for (int round = 0; round < 200; ++round) {
      auto e = std::make_unique<baton::event>();
      std::thread waiter([&] {
        if (round % 2 == 0) {
          e->wait();
        } else {
          EXPECT_TRUE(e->wait_for(std::chrono::hours(1)));
        }
        e.reset();
      });
      e->set();
      waiter.join();
    }
  });
}

// set() by a fiber that holds a std::mutex: the fiber must not be moved to another thread.
TEST(Event, SetNeverSwitches) {
  baton::run([] {
    std::mutex m;
    for (int round = 0; round < 500; ++round) {
      baton::event e;
      watched_agent waiter;
      auto f = baton::spawn([&] {
        waiter.about_to_wait();
        e.wait();
      });
      waiter.await_parked();
      {
        const std::lock_guard guard(m);
        const auto before = std::this_thread::get_id();
        e.set();
        EXPECT_EQ(std::this_thread::get_id(), before);
      }
      f.join();
    }
  });
}

}  // namespace
