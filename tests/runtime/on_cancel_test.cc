#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/on_cancel.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::context;
using baton::on_cancel;
using baton::with_cancel;
using baton::with_timeout;

// As Go's TestAfterFuncCalledAfterCancel.
TEST(OnCancel, IsCalledOnceInAFiberWhenCancelled) {
  baton::run([] {
    const auto ctx = with_cancel(context::background());
    std::atomic<int> calls{0};
    baton::event called;
    const auto self = baton::this_fiber::id();
    const on_cancel hook(ctx, [&] {
      EXPECT_TRUE(ctx.is_done());
      EXPECT_TRUE(baton::this_fiber::on_fiber());
      EXPECT_NE(baton::this_fiber::id(), self);
      ++calls;
      called.set();
    });
    baton::this_fiber::yield();
    EXPECT_EQ(calls, 0);
    ctx.cancel();
    called.wait();
    ctx.cancel();
    EXPECT_EQ(calls, 1);
  });
}

TEST(OnCancel, IsCalledAfterADeadlineAndForAParent) {
  baton::run([] {
    baton::wait_group calls;
    calls.add(3);
    const auto top = with_timeout(context::background(), 2ms);
    const auto leaf = with_cancel(top);
    const on_cancel a(top, [&] { calls.done(); });
    const on_cancel b(leaf, [&] { calls.done(); });
    const on_cancel c(leaf, [&] { calls.done(); });
    calls.wait();
    EXPECT_TRUE(absl::IsDeadlineExceeded(leaf.error()));
  });
}

// As Go's TestAfterFuncNotCalledAfterStop.
TEST(OnCancel, IsNotCalledWhenItEndedBefore) {
  baton::run([] {
    const auto ctx = with_cancel(context::background());
    std::atomic<int> calls{0};
    std::optional<on_cancel> hook;
    hook.emplace(ctx, [&] { ++calls; });
    hook.reset();
    const on_cancel of_background(context::background(), [&] { ++calls; });
    ctx.cancel();
    for (int i = 0; i < 50; ++i) baton::this_fiber::yield();
    EXPECT_EQ(calls, 0);
  });
}

TEST(OnCancel, OfADoneContextIsCalledAtOnce) {
  baton::run([] {
    const auto ctx = with_cancel(context::background());
    ctx.cancel();
    bool called = false;
    {
      const on_cancel hook(ctx, [&, only = std::make_unique<int>(1)] { called = *only == 1; });
    }
    EXPECT_TRUE(called) << "the destructor waits for it";
  });
}

TEST(OnCancel, ItsEndWaitsForTheRunningFunction) {
  baton::run([] {
    const auto ctx = with_cancel(context::background());
    bool finished = false;
    struct guard {
      bool* at;
      explicit guard(bool* where) : at(where) {}
      guard(guard&& other) noexcept : at(std::exchange(other.at, nullptr)) {}
      guard& operator=(guard&&) = delete;
      ~guard() {
        if (at != nullptr) *at = true;
      }
    };
    bool destroyed = false;
    {
      baton::event inside;
      const on_cancel hook(ctx, [&, g = guard(&destroyed)] {
        static_cast<void>(g);
        inside.set();
        baton::this_fiber::sleep_for(2ms);
        finished = true;
      });
      ctx.cancel();
      inside.wait();
    }
    EXPECT_TRUE(finished);
    EXPECT_TRUE(destroyed);
  });
}

TEST(OnCancel, MayBeDestroyedByItsFunction) {
  baton::run([] {
    const auto ctx = with_cancel(context::background());
    baton::event done;
    std::unique_ptr<on_cancel> hook;
    hook = std::make_unique<on_cancel>(ctx, [&] {
      hook.reset();
      done.set();
    });
    ctx.cancel();
    done.wait();
  });
}

// The destructor of an on_cancel that is about to run waits as well, also in the fiber that cancels.
TEST(OnCancel, SeveralOfOneContextRunBesideEachOther) {
  baton::run([] {
    const auto ctx = with_cancel(context::background());
    std::atomic<int> calls{0};
    {
      baton::event second_ran;
      const on_cancel first(ctx, [&] {
        second_ran.wait();
        ++calls;
      });
      const on_cancel second(ctx, [&] {
        ++calls;
        second_ran.set();
      });
      ctx.cancel();
    }
    EXPECT_EQ(calls, 2);
  });
}

TEST(OnCancel, WorksOnPlainThreads) {
  const auto ctx = with_cancel(context::background());
  std::atomic<bool> called{false};
  {
    const on_cancel hook(ctx, [&] { called = true; });
    std::thread([ctx] { ctx.cancel(); }).join();
  }
  EXPECT_TRUE(called);
}

TEST(OnCancel, EndingsRaceWithCancelling) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  baton::run([seed] {
    std::vector<baton::fiber<void>> fibers;
    for (unsigned i = 0; i < 8; ++i) {
      fibers.push_back(baton::spawn([seed, i] {
        std::mt19937 random(seed + i);
        for (int n = 0; n < 100; ++n) {
          const auto ctx = with_timeout(context::background(), std::chrono::microseconds(random() % 80));
          auto target = std::make_unique<int>(0);
          auto canceller = baton::spawn([ctx] { ctx.cancel(); });
          {
            const on_cancel hook(ctx, [&] {
              if (n % 3 == 0) baton::this_fiber::yield();
              ++*target;
            });
            if (random() % 2 == 0) baton::this_fiber::yield();
            if (random() % 4 == 0) baton::this_fiber::sleep_for(20us);
          }
          EXPECT_LE(*target, 1) << "seed " << seed;
          target.reset();  // no longer used
          canceller.join();
        }
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

}  // namespace
