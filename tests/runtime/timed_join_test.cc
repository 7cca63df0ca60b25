// Joins that do not wait for ever.
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/fiber_local.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

void on_both(void (*f)()) {
  f();
  baton::run(f);
}

TEST(TimedJoin, SaysWhetherTheFiberHasEnded) {
  on_both([] {
    baton::event go_on;
    auto f = baton::spawn([&] {
      go_on.wait();
      return std::make_unique<int>(7);
    });
    EXPECT_FALSE(f.join_for(0s));
    EXPECT_FALSE(f.join_for(1ms));
    EXPECT_FALSE(f.join_until(steady::now() + 1ms));
    EXPECT_FALSE(f.join_until(std::chrono::system_clock::now() - 1h));
    EXPECT_TRUE(f.joinable());
    go_on.set();
    EXPECT_TRUE(f.join_for(1h));
    EXPECT_TRUE(f.join_for(0s)) << "it has ended: also without time";
    EXPECT_TRUE(f.joinable());
    EXPECT_EQ(*f.join(), 7);
  });
}

TEST(TimedJoin, ForEverIsATimeToo) {
  on_both([] {
    auto f = baton::spawn([] { baton::this_fiber::sleep_for(1ms); });
    EXPECT_TRUE(f.join_for(std::chrono::hours::max()));
    f.join();
  });
}

TEST(TimedJoin, LeavesTheExceptionToJoin) {
  baton::run([] {
    auto f = baton::spawn([] { throw std::runtime_error("no"); });
    EXPECT_TRUE(f.join_for(1h));
    EXPECT_THROW(f.join(), std::runtime_error);
  });
}

TEST(TimedJoin, WhatRanOutOfTimeCanBeDetached) {
  static std::atomic<int> dropped{0};
  struct counts {
    counts() = default;
    counts(counts&& other) noexcept : mine(std::exchange(other.mine, false)) {}
    ~counts() {
      if (mine) ++dropped;
    }
    bool mine = true;
  };
  baton::run([] {
    baton::event go_on;
    baton::event over;
    struct at_end {
      baton::event* e = nullptr;
      ~at_end() {
        if (e != nullptr) e->set();
      }
    };
    static baton::fiber_local<at_end> end;
    auto f = baton::spawn([&] {
      end->e = &over;
      go_on.wait();
      return counts();
    });
    EXPECT_FALSE(f.join_for(100us));
    f.detach();
    go_on.set();
    over.wait();
    EXPECT_EQ(dropped, 1);
  });
}

// The fiber's end, the time-out, and what follows a time-out come in any order. The result of a detached fiber is
// dropped.
TEST(TimedJoin, RacesWithTheEnd) {
  static std::atomic<int> alive{0};
  struct counted {
    counted() { ++alive; }
    counted(counted&&) noexcept { ++alive; }
    ~counted() { --alive; }
  };
  const auto work = [](int seed) {
    auto random = static_cast<unsigned>(seed) * 2654435761U;
    for (int i = 0; i < 2'000; ++i) {
      random = random * 1664525 + 1013904223;
      auto f = baton::spawn([n = random >> 28] {
        for (unsigned k = 0; k < n; ++k) baton::this_fiber::yield();
        return counted();
      });
      const std::chrono::nanoseconds time((random >> 8) % 20'000);
      if (f.join_for(time)) {
        static_cast<void>(f.join());
      } else if (i % 3 == 0) {
        f.detach();
      } else if (i % 3 == 1) {
        if (f.join_for(time)) static_cast<void>(f.join());
      }  // else its destructor joins
    }
  };
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 4; ++i) fibers.push_back(baton::spawn(work, i));
    std::thread outside(work, 99);
    for (auto& f : fibers) f.join();
    baton::blocking([&] { outside.join(); });
    while (alive != 0) baton::this_fiber::yield();
  });
}

// A plain thread joins while the fiber is at its very end.
TEST(TimedJoin, PlainThreadsJoinWhatIsJustEnding) {
  baton::run([] {
    std::thread outside([] {
      for (int i = 0; i < 20'000; ++i) {
        std::atomic<bool> nearly{false};
        auto f = baton::spawn([&] { nearly = true; });
        if (i % 2 == 0) {
          while (!nearly) std::this_thread::yield();
        }
        f.join();
      }
    });
    baton::blocking([&] { outside.join(); });
  });
}

class TimedJoinDeathTest : public testing::Test {
 protected:
  TimedJoinDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(TimedJoinDeathTest, OfNothingIsMisuse) {
  baton::fiber<void> none;
  EXPECT_DEATH(static_cast<void>(none.join_for(1s)), "join of a fiber that is not joinable");
}

TEST_F(TimedJoinDeathTest, OfItselfIsMisuse) {
  EXPECT_DEATH(baton::run([] {
                 baton::fiber<void> f;
                 baton::event made;
                 f = baton::spawn([&] {
                   made.wait();
                   static_cast<void>(f.join_for(1s));
                 });
                 made.set();
                 baton::event().wait();
               }),
               "a fiber joins itself");
}

}  // namespace
