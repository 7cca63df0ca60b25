// What the scheduler promises to the layers above it: fibers run, wait and are woken exactly once, no work is left
// lying, no fiber starves, and fibers and plain threads mix.
#include "on_fiber.h"

#include <baton/sched/counters.h>
#include <baton/sched/declared_call.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/thread_lock.h>
#include <baton/sched/timer.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace {

using namespace baton::sched;
using baton_test::flag;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;
using baton_test::with_procs;

TEST(Spawn, RunsAndJoinsFromAPlainThread) {
  int ran = 0;
  on_fiber([&] { ran = 1; });
  EXPECT_EQ(ran, 1);
}

TEST(Spawn, TenThousandFibersInATree) {
  std::atomic<int> ran{0};
  on_fiber([&] {
    std::vector<fiber*> children;
    for (int i = 0; i < 100; ++i) {
      children.push_back(spawn_fiber([&] {
        std::vector<fiber*> mine;
        for (int k = 0; k < 100; ++k) mine.push_back(spawn_fiber([&] { ran.fetch_add(1); }));
        for (fiber* f : mine) join(f);
      }));
    }
    for (fiber* f : children) join(f);
  });
  EXPECT_EQ(ran.load(), 10'000);
}

// The last one starts first, because its data are warm. On every 16th pick it starts second, because the ring comes
// before runnext. The others start in the order of their creation.
int starts_in_order() {
  settings one;
  one.procs = 1;
  one.rescue = false;  // on a busy machine a fiber may lose its P
  start(one);
  for (int round = 0; round < 100; ++round) {
    std::vector<int> order;
    on_fiber([&] {
      std::vector<fiber*> fibers;
      for (int i = 0; i < 5; ++i) fibers.push_back(spawn_fiber([&, i] { order.push_back(i); }));
      for (fiber* f : fibers) join(f);
    });
    if (order.size() != 5 || (order[0] != 4 && order[1] != 4)) return 1;
    order.erase(std::find(order.begin(), order.end(), 4));
    if (order != std::vector<int>{0, 1, 2, 3}) return 2;
  }
  return 0;
}

// In a process that has never had another P: a P that has just been retired may still be at work.
TEST(SpawnDeathTest, FibersStartInOrderOnOneP) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::_Exit(starts_in_order()), testing::ExitedWithCode(0), "");
}

TEST(Spawn, OverflowOfTheRunQueueLosesNobody) {
  std::atomic<int> ran{0};
  on_fiber([&] {
    std::vector<fiber*> fibers;
    for (int i = 0; i < 3000; ++i) fibers.push_back(spawn_fiber([&] { ran.fetch_add(1); }));
    for (fiber* f : fibers) join(f);
  });
  EXPECT_EQ(ran.load(), 3000);
}

TEST(Spawn, DetachedFibersAreReused) {
  on_fiber([] {
    for (int i = 0; i < 50'000; ++i) {
      flag done;
      spawn_fiber([&] { done.set(); }, false);
      done.wait();
    }
  });
  EXPECT_LT(read_counters().fibers, 5000U);
}

// Wakes that come before the park, during it and after it: each counts exactly once.
TEST(Park, EveryParkIsMatchedByOneReady) {
  constexpr int rounds = 20'000;
  on_fiber([] {
    for (int i = 0; i < rounds; ++i) {
      flag ping;
      fiber* const other = spawn_fiber([&, i] {
        if (i % 2 == 0) yield();
        ping.set();
      });
      if (i % 3 == 0) yield();
      ping.wait();
      join(other);
    }
  });
}

TEST(Park, PingPongBetweenAFiberAndAThread) {
  constexpr int rounds = 2000;
  std::vector<flag> to_fiber(rounds);
  std::vector<flag> to_thread(rounds);
  fiber* const f = spawn_fiber([&] {
    for (int i = 0; i < rounds; ++i) {
      to_fiber[static_cast<std::size_t>(i)].wait();
      to_thread[static_cast<std::size_t>(i)].set();
    }
  });
  for (int i = 0; i < rounds; ++i) {
    to_fiber[static_cast<std::size_t>(i)].set();
    to_thread[static_cast<std::size_t>(i)].wait();
  }
  join(f);
}

TEST(Park, ManyFibersReadiedByManyThreads) {
  constexpr std::size_t n = 4000;
  std::vector<flag> flags(n);
  std::atomic<std::size_t> woken{0};
  std::vector<fiber*> fibers;
  for (std::size_t i = 0; i < n; ++i) {
    fibers.push_back(spawn_fiber([&, i] {
      flags[i].wait();
      woken.fetch_add(1);
    }));
  }
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < n; i += 4) flags[i].set();
    });
  }
  for (auto& t : threads) t.join();
  for (fiber* f : fibers) join(f);
  EXPECT_EQ(woken.load(), n);
}

TEST(ParkDeathTest, ASecondReadyForOneWaitAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(on_fiber([] {
                 agent* const self = current_agent();
                 prepare_park(self, wait_reason::other);
                 ready(self);
                 ready(self);
               }),
               "readied twice");
}

TEST(Fairness, YieldLetsTheOthersRun) {
  const with_procs one(1);
  on_fiber([] {
    std::atomic<bool> stop{false};
    fiber* const other = spawn_fiber([&] { stop.store(true); });
    while (!stop.load()) yield();
    join(other);
  });
}

// Two fibers ready each other through runnext for ever, and a third one is in the queue.
TEST(Fairness, AChainThroughRunnextDoesNotStarveTheQueue) {
  const with_procs one(1);
  on_fiber([] {
    std::atomic<bool> stop{false};
    std::atomic<agent*> a{nullptr};
    std::atomic<agent*> b{nullptr};
    const auto bounce = [&stop](std::atomic<agent*>& mine, std::atomic<agent*>& others) {
      while (!stop.load()) {
        agent* const self = current_agent();
        prepare_park(self, wait_reason::other);
        mine.store(self);
        if (agent* const o = others.exchange(nullptr)) ready(o);
        park(self);
      }
      if (agent* const o = others.exchange(nullptr)) ready(o);
    };
    fiber* const first = spawn_fiber([&] { bounce(a, b); });
    fiber* const second = spawn_fiber([&] { bounce(b, a); });
    fiber* const third = spawn_fiber([&] { stop.store(true); });
    join(third);
    join(first);
    join(second);
  });
}

TEST(Fairness, AFiberThatNeverWaitsGivesWayWhenItsSliceIsOver) {
  const with_procs one(1);
  on_fiber([] {
    std::atomic<bool> stop{false};
    fiber* const other = spawn_fiber([&] { stop.store(true); });
    while (!stop.load()) yield_if_due();
    join(other);
  });
}

// Each call is a visit of its own, so no visit looks as if the fiber blocked or computed.
TEST(Fairness, AFiberOfShortDeclaredCallsGivesWayWhenItsSliceIsOver) {
  for (const stay where : {stay::anywhere, stay::here}) {
    const with_procs one(1);
    on_fiber([where] {
      std::atomic<bool> stop{false};
      fiber* const other = spawn_fiber([&] { stop.store(true); });
      while (!stop.load()) {
        begin_call_here();
        end_call(where);
      }
      join(other);
    });
  }
}

TEST(Fairness, AFiberLockedToItsThreadGivesWayToo) {
  const with_procs one(1);
  on_fiber([] {
    std::atomic<bool> stop{false};
    fiber* const other = spawn_fiber([&] { stop.store(true); });
    lock_thread();
    const auto thread = platform::thread_id();
    while (!stop.load()) {
      begin_call_here();
      end_call(stay::anywhere);
    }
    EXPECT_EQ(platform::thread_id(), thread);
    unlock_thread();
    join(other);
  });
}

// A loop of calls that never switch (a lock that is tried, say) has no place to give way. Other fibers run beside it.
TEST(Fairness, AFiberOfCallsThatNeverSwitchLosesItsP) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    std::atomic<bool> stop{false};
    std::vector<fiber*> fibers;
    for (int i = 0; i < n; ++i) {
      fibers.push_back(spawn_fiber([&] {
        while (!stop.load()) {
          const runtime_section section;
        }
      }));
    }
    fibers.push_back(spawn_fiber([&] { stop.store(true); }));
    for (fiber* f : fibers) join(f);
  }
}

TEST(Fairness, TheGlobalQueueIsServedBesideLocalWork) {
  const with_procs one(1);
  std::atomic<bool> stop{false};
  fiber* const busy = spawn_fiber([&] {
    fiber* const partner = spawn_fiber([&] {
      while (!stop.load()) yield();
    });
    while (!stop.load()) yield();
    join(partner);
  });
  // From a plain thread: through the global queue.
  join(spawn_fiber([&] { stop.store(true); }));
  join(busy);
}

// Far more yielding fibers than a run queue has slots. Each gets its turn, not only those that fit.
TEST(Fairness, YieldingFibersTakeTurnsBeyondTheRing) {
  const with_procs one(1);
  constexpr std::size_t n = 2000;
  constexpr int rounds = 40;
  std::vector<int> turns(n, 0);
  int least_at_first_end = -1;
  on_fiber([&] {
    std::vector<fiber*> fibers;
    for (std::size_t i = 0; i < n; ++i) {
      fibers.push_back(spawn_fiber([&, i] {
        while (turns[i] < rounds) {
          ++turns[i];
          yield();
        }
        if (least_at_first_end < 0) least_at_first_end = *std::min_element(turns.begin(), turns.end());
      }));
    }
    for (fiber* f : fibers) join(f);
  });
  EXPECT_GE(least_at_first_end, rounds / 2) << "when the first had all its turns";
}

// Two fibers that end only when both run at the same time. Another P must find the second.
TEST(Stealing, AnIdlePTakesWorkFromABusyOne) {
  const with_procs two(2);
  for (int round = 0; round < 50; ++round) {
    on_fiber([] {
      std::atomic<int> here{0};
      const auto meet = [&] {
        here.fetch_add(1);
        while (here.load() < 2) {
        }
      };
      fiber* const other = spawn_fiber(meet);
      meet();
      join(other);
    });
  }
}

// The order is that of the deadlines unless a fiber goes to sleep, or is woken, later than the next one is due. On a
// machine so slow that this happens, the test repeats with longer times.
TEST(Timers, SleepersWakeInOrderAndNotEarly) {
  const with_procs one(1);
  bool in_time = false;
  for (std::int64_t unit = 10'000'000; !in_time; unit *= 4) {
    in_time = true;
    std::vector<int> order;
    const std::int64_t base = platform::now_ns();
    const auto late_for = [&](int units) { return platform::now_ns() >= base + units * unit; };
    bool early = false;
    std::vector<fiber*> fibers;
    for (const int units : {3, 1, 2}) {
      fibers.push_back(spawn_fiber([&, units] {
        if (late_for(1)) in_time = false;
        sleep_until_ns(base + units * unit);
        if (!late_for(units)) early = true;
        if (late_for(units + 1)) in_time = false;
        order.push_back(units);
      }));
    }
    for (fiber* f : fibers) join(f);
    EXPECT_FALSE(early);
    if (in_time) {
      EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
    }
  }
}

TEST(Timers, APlainThreadSleepsToo) {
  const std::int64_t until = platform::now_ns() + 2'000'000;
  sleep_until_ns(until);
  EXPECT_GE(platform::now_ns(), until);
}

struct counting_timer {
  std::atomic<int> fired{0};
  static void fire(void* arg, std::uint64_t, fiber_list&) noexcept {
    static_cast<counting_timer*>(arg)->fired.fetch_add(1);
  }
};

TEST(Timers, CancelSaysWhetherItWillEverRun) {
  on_fiber([] {
    for (int i = 0; i < 2000; ++i) {
      counting_timer t;
      const std::int64_t when = platform::now_ns() + (i % 3) * 20'000;
      const timer_handle h = arm_timer(when, counting_timer::fire, &t);
      if (i % 2 == 0) yield();
      if (i % 5 == 0) sleep_until_ns(when + 50'000);
      const bool cancelled = cancel_timer(h);
      // t is about to be destroyed: from here on the callback must not run, and it must have run if it was not
      // cancelled.
      EXPECT_EQ(t.fired.load(), cancelled ? 0 : 1);
      EXPECT_FALSE(cancel_timer(h)) << "a stale handle";
    }
  });
}

TEST(Timers, CancelFromOtherThreadsAndFibers) {
  constexpr int n = 3000;
  std::vector<counting_timer> timers(n);
  std::vector<timer_handle> handles(n);
  on_fiber([&] {
    for (std::size_t i = 0; i < n; ++i) {
      handles[i] = arm_timer(platform::now_ns() + static_cast<std::int64_t>(i % 100) * 100'000, counting_timer::fire,
                             &timers[i]);
    }
  });
  std::atomic<int> cancelled{0};
  const auto cancel_some = [&](std::size_t first) {
    for (std::size_t i = first; i < n; i += 3) {
      if (cancel_timer(handles[i])) {
        cancelled.fetch_add(1);
        EXPECT_EQ(timers[i].fired.load(), 0);
      } else {
        EXPECT_EQ(timers[i].fired.load(), 1);
      }
    }
  };
  fiber* const f = spawn_fiber([&] { cancel_some(0); });
  std::thread t([&] { cancel_some(1); });
  cancel_some(2);
  t.join();
  join(f);
  int fired = 0;
  for (auto& timer : timers) fired += timer.fired.load();
  EXPECT_EQ(fired + cancelled.load(), n);
}

TEST(Timers, RunOnAPThatIsNeverIdle) {
  const with_procs one(1);
  on_fiber([] {
    std::atomic<bool> stop{false};
    fiber* const sleeper = spawn_fiber([&] {
      sleep_until_ns(platform::now_ns() + 1'000'000);
      stop.store(true);
    });
    fiber* const other = spawn_fiber([&] {
      while (!stop.load()) yield();
    });
    while (!stop.load()) yield();
    join(sleeper);
    join(other);
  });
}

TEST(Procs, ChangeWhileFibersRun) {
  const with_procs restore(procs());
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> rounds{0};
  std::vector<fiber*> fibers;
  for (int i = 0; i < 50; ++i) {
    fibers.push_back(spawn_fiber([&] {
      while (!stop.load()) {
        rounds.fetch_add(1);
        flag done;
        fiber* const child = spawn_fiber([&] { done.set(); });
        done.wait();
        join(child);
        sleep_until_ns(platform::now_ns() + 10'000);
      }
    }));
  }
  for (const int n : {8, 1, 3, 2, 8, 1, 5, 1}) {
    set_procs(n);
    const std::uint64_t seen = rounds.load();
    while (rounds.load() < seen + 500) std::this_thread::yield();
  }
  stop.store(true);
  for (fiber* f : fibers) join(f);
}

}  // namespace
