#include "../runtime/parked.h"

#include <baton/runtime/blocking_context.h>
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/sched/platform/thread.h>
#include <baton/syscall/blocking_gate.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::blocking_gate;
using baton::test::watched_agent;
using steady = std::chrono::steady_clock;

void until_waiting(const blocking_gate& gate, std::uint64_t n) {
  while (gate.stats().waiting != n) baton::this_fiber::yield();
}

// A fiber or thread inside a gate of one, until it is told to leave.
class occupant {
 public:
  explicit occupant(blocking_gate& gate)
      : fiber_(baton::spawn([this, &gate] {
          baton::blocking(gate, [this] {
            inside_.set();
            leave_.wait();
          });
        })) {
    inside_.wait();
  }
  void leave() {
    leave_.set();
    fiber_.join();
  }

 private:
  baton::event inside_, leave_;
  baton::fiber<void> fiber_;
};

TEST(BlockingGate, SoManyAreInsideAndNoMore) {
  baton::run([] {
    blocking_gate gate(3);
    std::atomic<int> inside{0}, worst{0};
    std::vector<baton::fiber<int>> fibers;
    for (int i = 0; i < 40; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        for (int n = 0; n < 50; ++n) {
          const auto call = [&] {
            const int now = ++inside;
            int seen = worst;
            while (now > seen && !worst.compare_exchange_weak(seen, now)) {
            }
            std::this_thread::yield();
            --inside;
            return i;
          };
          const int answer = n % 2 == 0 ? baton::blocking(gate, call) : baton::pinned_blocking(gate, call);
          if (answer != i) return -1;
        }
        return i;
      }));
    }
    for (int i = 0; i < 40; ++i) EXPECT_EQ(fibers[static_cast<std::size_t>(i)].join(), i);
    EXPECT_LE(worst, 3);
    EXPECT_EQ(gate.stats().inside, 0u);
    EXPECT_EQ(gate.stats().waiting, 0u);
    EXPECT_EQ(gate.stats().at_once, 3);
  });
}

TEST(BlockingGate, ThePlaceIsFreeWhenTheCallHasEnded) {
  baton::run([] {
    blocking_gate gate(1);
    for (int i = 0; i < 1000; ++i) {
      EXPECT_EQ(baton::blocking(gate, [&] { return i; }), i);
      EXPECT_EQ(gate.stats().inside, 0u);
    }
    EXPECT_THROW(baton::blocking(gate, [] { throw std::runtime_error("x"); }), std::runtime_error);
    EXPECT_EQ(gate.stats().inside, 0u);
    EXPECT_EQ(gate.stats().waits, 0u);
  });
}

TEST(BlockingGate, FirstComeFirstServed) {
  baton::run([] {
    blocking_gate gate(1);
    occupant first(gate);
    std::vector<int> order;
    std::vector<baton::fiber<void>> fibers;
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i) {
      const auto call = [&, i] { baton::blocking(gate, [&] { order.push_back(i); }); };
      if (i % 3 == 2) {
        threads.emplace_back(call);
      } else {
        fibers.push_back(baton::spawn(call));
      }
      until_waiting(gate, static_cast<std::uint64_t>(i + 1));
    }
    EXPECT_GT(gate.stats().waiting_longest, 0ns);
    first.leave();
    for (auto& f : fibers) f.join();
    for (auto& t : threads) t.join();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    const baton::gate_stats s = gate.stats();
    EXPECT_EQ(s.waits, 10u);
    EXPECT_GT(s.waited, 0ns);
    EXPECT_LE(s.waited_longest, s.waited);
    EXPECT_EQ(s.waiting_longest, 0ns);
  });
}

TEST(BlockingGate, WhoWaitsHoldsNoThread) {
  baton::run([] {
    blocking_gate gate(1);
    occupant first(gate);
    std::vector<baton::fiber<bool>> fibers;
    for (int i = 0; i < 300; ++i) {
      fibers.push_back(baton::spawn([&] { return baton::blocking(gate, [] { return true; }); }));
    }
    until_waiting(gate, 300);  // with eight Ps at the most, so not on threads of theirs
    first.leave();
    for (auto& f : fibers) EXPECT_TRUE(f.join());
  });
}

TEST(BlockingGate, ADeadlineEndsTheWait) {
  baton::run([] {
    blocking_gate gate(1);
    occupant first(gate);
    bool called = false;
    const absl::Status late = baton::blocking(gate, 1ms, [&] { called = true; });
    EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
    EXPECT_NE(late.message().find("blocking_gate of 1"), absl::string_view::npos) << late;
    EXPECT_TRUE(absl::IsDeadlineExceeded(
        baton::pinned_blocking(gate, steady::now() + 1ms, [&] { return called = true; }).status()));
    EXPECT_FALSE(called);
    EXPECT_EQ(gate.stats().waiting, 0u);
    EXPECT_LE(gate.stats().waits, 2u) << "a thread that came late found its time over, and did not wait";
    auto patient = baton::spawn([&] { return baton::blocking(gate, std::chrono::hours::max(), [] { return 7; }); });
    until_waiting(gate, 1);
    first.leave();
    EXPECT_EQ(patient.join().value(), 7);
    EXPECT_TRUE(absl::IsDeadlineExceeded(baton::blocking(gate, -1s, [] {}))) << "though there is room";
    EXPECT_EQ(gate.stats().inside, 0u);
  });
}

TEST(BlockingGate, AContextEndsTheWait) {
  baton::run([] {
    blocking_gate gate(1);
    occupant first(gate);
    const auto ctx = baton::with_cancel(baton::context::background());
    bool called = false;
    auto waits = baton::spawn([&] { return baton::blocking(gate, ctx, [&] { called = true; }); });
    auto pinned = baton::spawn([&] { return baton::pinned_blocking(gate, ctx, [&] { return called = true; }); });
    std::thread plain([&] { EXPECT_TRUE(absl::IsAborted(baton::blocking(gate, ctx, [&] { called = true; }))); });
    until_waiting(gate, 3);
    ctx.cancel(absl::AbortedError("the client has gone"));
    const absl::Status s = waits.join();
    EXPECT_TRUE(absl::IsAborted(s)) << s;
    EXPECT_NE(s.message().find("blocking_gate of 1: the client has gone"), absl::string_view::npos) << s;
    EXPECT_TRUE(absl::IsAborted(pinned.join().status()));
    plain.join();
    first.leave();
    EXPECT_TRUE(absl::IsAborted(baton::blocking(gate, ctx, [&] { called = true; }))) << "though there is room";
    EXPECT_FALSE(called);
    EXPECT_EQ(baton::blocking(gate, baton::context::background(), [] { return 1; }).value(), 1);
    EXPECT_EQ(gate.stats().inside, 0u);
  });
}

TEST(BlockingGate, WhatACallReturnsWhenItMayNotBeMade) {
  blocking_gate gate(1);
  const baton::context ctx;
  static_assert(std::is_same_v<decltype(baton::blocking(gate, ctx, [] {})), absl::Status>);
  static_assert(std::is_same_v<decltype(baton::blocking(gate, 1s, [] {})), absl::Status>);
  static_assert(std::is_same_v<decltype(baton::blocking(gate, 1s, [] { return 1; })), absl::StatusOr<int>>);
  static_assert(std::is_same_v<decltype(baton::blocking(gate, ctx, [] { return absl::OkStatus(); })), absl::Status>);
  static_assert(
      std::is_same_v<decltype(baton::blocking(gate, ctx, [] { return absl::StatusOr<int>(1); })), absl::StatusOr<int>>);
  EXPECT_TRUE(absl::IsNotFound(baton::blocking(gate, 1s, [] { return absl::NotFoundError("x"); })));
  EXPECT_EQ(*baton::blocking(gate, ctx, [] { return std::make_unique<int>(4); }).value(), 4);
  int value = 0;
  int& same = baton::blocking(gate, [&]() -> int& { return value; });
  EXPECT_EQ(&same, &value);
}

// Places are handed over, deadlines pass and contexts end, all at once: no caller is lost, and no place either.
TEST(BlockingGate, NoPlaceIsLost) {
  baton::run([] {
    for (int round = 0; round < 20; ++round) {
      blocking_gate gate(2);
      const auto ctx = baton::with_cancel(baton::context::background());
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 60; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          for (int n = 0; n < 20; ++n) {
            const auto call = [] { std::this_thread::yield(); };
            switch ((i + n) % 3) {
              case 0: baton::blocking(gate, call); break;
              case 1: baton::blocking(gate, std::chrono::microseconds((i * 7 + n) % 200), call).IgnoreError(); break;
              case 2: baton::blocking(gate, ctx, call).IgnoreError(); break;
            }
          }
        }));
      }
      baton::this_fiber::yield();
      ctx.cancel();
      for (auto& f : fibers) f.join();
      EXPECT_EQ(gate.stats().inside, 0u);
      EXPECT_EQ(gate.stats().waiting, 0u);
    }
  });
}

TEST(BlockingGate, IsDestroyedAfterTheLastCall) {
  baton::run([] {
    for (int i = 0; i < 2000; ++i) {
      auto gate = std::make_unique<blocking_gate>(1);
      auto other = baton::spawn([&] { baton::blocking(*gate, [] {}); });
      baton::blocking(*gate, [] {});
      other.join();
      gate.reset();
    }
  });
}

constinit blocking_gate static_gate(1);

TEST(BlockingGate, MayBeStatic) {
  EXPECT_EQ(baton::blocking(static_gate, [] { return 1; }), 1);
}

TEST(BlockingGateDeathTest, Misuse) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(blocking_gate gate(0), "blocking_gate: 0 at once; it takes at least 1");
  EXPECT_DEATH(blocking_gate gate(-1), "at least 1");
  EXPECT_DEATH(baton::run([] {
                 auto gate = std::make_unique<blocking_gate>(1);
                 baton::event inside, never;
                 baton::go([&] {
                   baton::blocking(*gate, [&] {
                     inside.set();
                     never.wait();
                   });
                 });
                 inside.wait();
                 baton::go([&] { baton::blocking(*gate, [] {}); });
                 until_waiting(*gate, 1);
                 gate.reset();
               }),
               "a blocking_gate is destroyed while 1 calls wait for room in it");
  EXPECT_DEATH(baton::run([] {
                 auto gate = std::make_unique<blocking_gate>(2);
                 baton::event inside, never;
                 baton::go([&] {
                   baton::blocking(*gate, [&] {
                     inside.set();
                     never.wait();
                   });
                 });
                 inside.wait();
                 gate.reset();
               }),
               "a blocking_gate is destroyed while 1 calls are inside");
}

}  // namespace
