// Scatter mode: a fiber that waits continues on another thread whenever one is idle. Each test is a process of its own.
#include "good_child.h"

#include <baton/netpoll/pipe.h>
#include <baton/runtime/channel.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/pinning.h>
#include <baton/syscall/time.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr int all_procs[] = {1, 2, 8};

class ScatterDeathTest : public testing::Test {
 protected:
  ScatterDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

baton::options scattered(int procs) {
  baton::options o;
  o.procs = procs;
  o.scatter = true;
  return o;
}

// Waits until it has changed threads so many times. A test that never does does not end.
void until_moved(int times, const std::function<void()>& wait) {
  while (times > 0) {
    const pid_t before = ::gettid();
    wait();
    if (::gettid() != before) --times;
  }
}

TEST_F(ScatterDeathTest, WithOnePEachYieldAndSleepMovesIfAThreadIsIdle) {
  EXPECT_GOOD_CHILD([] {
    baton::run(
        [] {
          int moved = 0;
          for (int i = 0; moved < 200; ++i) {
            const bool one_is_idle = baton::stats().threads_idle > 0;
            const pid_t before = ::gettid();
            if (i % 2 == 0) {
              baton::this_fiber::yield();
            } else {
              baton::this_fiber::sleep_for(1us);
            }
            const bool moves = ::gettid() != before;
            CHECK(moves || !one_is_idle);
            if (moves) ++moved;
          }
        },
        scattered(1));
  });
}

void each_kind_of_wait() {
  constexpr int times = 20;
  until_moved(times, [] { baton::this_fiber::yield(); });
  until_moved(times, [] { baton::this_fiber::sleep_for(10us); });
  until_moved(times, [] { baton::spawn([] {}).join(); });
  until_moved(times, [] {
    baton::event set;
    auto setter = baton::spawn([&] { set.set(); });
    set.wait();
  });
  const baton::channel<int> there;
  const baton::channel<int> back;
  auto echo = baton::spawn([=] {
    for (const int i : there) back.send(i);
  });
  until_moved(times, [&] {
    there.send(1);
    CHECK(back.receive() == 1);
  });
  there.close();
  until_moved(times, [] {
    auto ends = baton::make_pipe();
    CHECK(ends.ok());
    auto writer = baton::spawn([&] { CHECK(ends->writer.write("x").ok()); });
    char c = 0;
    CHECK(ends->reader.read(baton::bytes(&c, 1)).ok());
  });
  until_moved(times, [] { baton::blocking([] {}); });
  until_moved(times, [] { baton::blocking([] {}, baton::will_block); });
  until_moved(times, [] { CHECK(baton::sys::nanosleep(1us).has_value()); });
}

TEST_F(ScatterDeathTest, EachKindOfWaitMoves) {
  for (const int procs : all_procs) EXPECT_GOOD_CHILD([procs] { baton::run(each_kind_of_wait, scattered(procs)); });
}

__attribute__((noinline)) int* of_this_thread() {
  thread_local int value = 0;
  asm volatile("" ::: "memory");
  return &value;
}

TEST_F(ScatterDeathTest, AKeptThreadLocalShows) {
  for (const int procs : all_procs) {
    EXPECT_GOOD_CHILD([procs] {
      baton::run(
          [] {
            int* const kept = of_this_thread();
            // A fiber moves at each wait, not only at every second one: a mistake in a loop of two waits shows, too.
            for (int shown = 0; shown < 10;) {
              baton::this_fiber::yield();
              baton::this_fiber::yield();
              if (of_this_thread() != kept) ++shown;
            }
          },
          scattered(procs));
    });
  }
}

TEST_F(ScatterDeathTest, TheEnvironmentSwitchesItOn) {
  EXPECT_GOOD_CHILD([] {
    ::setenv("BATON_SCATTER", "1", 1);
    baton::run([] { until_moved(20, [] { baton::this_fiber::yield(); }); });
  });
}

TEST_F(ScatterDeathTest, WhatIsBoundToItsThreadStaysThere) {
  for (const int procs : all_procs) {
    EXPECT_GOOD_CHILD([procs] {
      baton::run(
          [] {
            auto others = baton::spawn([] {
              for (int i = 0; i < 300; ++i) baton::this_fiber::yield();
            });
            pid_t before = ::gettid();
            for (int i = 0; i < 100; ++i) {
              baton::pinned_blocking([] { errno = 0; });
              CHECK(::gettid() == before);
            }
            baton::lock_os_thread();
            before = ::gettid();
            for (int i = 0; i < 100; ++i) {
              baton::this_fiber::yield();
              baton::this_fiber::sleep_for(1us);
              baton::blocking([] {});
              baton::spawn([] {}).join();
              CHECK(::gettid() == before);
            }
            baton::unlock_os_thread();
            others.join();
            until_moved(20, [] { baton::this_fiber::yield(); });
          },
          scattered(procs));
    });
  }
}

// Fibers that wait for each other, beside some that are locked to their threads, while the number of Ps changes.
void many_fibers() {
  constexpr int fibers = 20;
  constexpr int rounds = 30;
  baton::mutex lock;
  int sum = 0;
  const baton::channel<int> numbers(3);
  std::vector<baton::fiber<void>> all;
  for (int i = 0; i < fibers; ++i) {
    all.push_back(baton::spawn([&, i] {
      if (i % 5 == 0) baton::lock_os_thread();
      for (int k = 0; k < rounds; ++k) {
        numbers.send(1);
        const std::lock_guard hold(lock);
        ++sum;
        if (k % 10 == 0) baton::this_fiber::yield();
      }
      if (i % 10 == 0) baton::unlock_os_thread();  // the others end their threads
    }));
  }
  int received = 0;
  const int procs = baton::procs();
  for (int i = 0; i < fibers * rounds; ++i) {
    received += numbers.receive().value_or(0);
    if (i % 100 == 0) (void)baton::set_procs(i % 200 == 0 ? 3 : procs);
  }
  for (auto& f : all) f.join();
  CHECK(received == fibers * rounds);
  CHECK(sum == fibers * rounds);
}

TEST_F(ScatterDeathTest, NothingIsLost) {
  for (const int procs : all_procs) EXPECT_GOOD_CHILD([procs] { baton::run(many_fibers, scattered(procs)); });
}

TEST_F(ScatterDeathTest, WithOneThreadFibersGoOnThere) {
  // With a limit of one thread a line on stderr may say that ready fibers wait.
  EXPECT_EXIT(in_child([] {
                baton::options o = scattered(1);
                o.max_threads = 1;
                baton::run(
                    [] {
                      const pid_t before = ::gettid();
                      for (int i = 0; i < 100; ++i) baton::spawn([] { baton::this_fiber::yield(); }).join();
                      CHECK(::gettid() == before);
                    },
                    o);
              }),
              testing::ExitedWithCode(0), "");
}

TEST_F(ScatterDeathTest, ADeadlockIsFound) {
  for (const int procs : all_procs) {
    EXPECT_EXIT(
        {
          baton::options o = scattered(procs);
          o.on_deadlock = baton::deadlock_action::exit_2;
          baton::run(
              [] {
                until_moved(20, [] { baton::this_fiber::yield(); });
                baton::event never;
                never.wait();
              },
              o);
        },
        testing::ExitedWithCode(2), "deadlock: all fibers are asleep");
  }
}

TEST_F(ScatterDeathTest, ItShutsDownAndTheNextStartMayDoWithoutIt) {
  for (const int procs : all_procs) {
    EXPECT_GOOD_CHILD([procs] {
      baton::run(many_fibers, scattered(procs));
      CHECK(baton::shutdown().ok());
      baton::options plain;
      plain.procs = 1;
      plain.rescue = false;
      baton::run(
          [] {
            const pid_t before = ::gettid();
            for (int i = 0; i < 1000; ++i) baton::this_fiber::yield();
            CHECK(::gettid() == before);
          },
          plain);
      CHECK(baton::shutdown().ok());
      baton::run(many_fibers, scattered(procs));
    });
  }
}

TEST_F(ScatterDeathTest, AFiberMayEndTheProcess) {
  for (const int procs : all_procs) {
    EXPECT_EXIT(
        {
          ::alarm(60);
          baton::run(
              [] {
                for (int i = 0; i < 10; ++i) {
                  baton::go([] {
                    for (;;) baton::this_fiber::yield();
                  });
                }
                until_moved(20, [] { baton::this_fiber::yield(); });
                std::exit(3);
              },
              scattered(procs));
        },
        testing::ExitedWithCode(3), "^$");
  }
}

}  // namespace
