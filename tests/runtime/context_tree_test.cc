// The tree of contexts while it changes: many Ps below one parent, cancels while children come and go.
#include "seed.h"

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/latch.h>
#include <baton/runtime/on_cancel.h>
#include <baton/runtime/run.h>
#include <baton/runtime/select.h>
#include <baton/runtime/task_group.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::cancellable_context;
using baton::context;
using baton::with_cancel;
using baton::with_timeout;

struct counting_listener final : baton::net::cancellation::node {
  void cancelled() noexcept override { calls.fetch_add(1); }
  std::atomic<int> calls{0};
};

// Enough children come from different Ps in turn for the parent to keep a list for each P. Then a cancel must find them
// all.
TEST(ContextTree, AParentThatSeveralPsShareReachesAllItsChildren) {
  baton::run([] {
    const auto top = with_cancel(context::background());
    constexpr int fibers = 8;
    constexpr int each = 500;
    std::vector<std::vector<context>> kept(fibers);
    baton::wait_group woken;
    woken.add(fibers * 10);
    std::vector<baton::fiber<void>> makers;
    for (int f = 0; f < fibers; ++f) {
      makers.push_back(baton::spawn([&, f] {
        for (int i = 0; i < each; ++i) {
          kept[static_cast<std::size_t>(f)].push_back(with_cancel(top));
          static_cast<void>(with_cancel(top));
          if (i % 3 == 0) baton::this_fiber::yield();
        }
        for (int i = 0; i < 10; ++i) {
          baton::go([&woken, c = i % 2 == 0 ? context(top) : kept[static_cast<std::size_t>(f)].back()] {
            c.wait_done();
            woken.done();
          });
        }
      }));
    }
    std::thread outside([&] {
      for (int i = 0; i < each; ++i) static_cast<void>(with_timeout(top, 1h));
    });
    for (auto& m : makers) m.join();
    outside.join();
    top.cancel(absl::AbortedError("all"));
    for (const auto& some : kept) {
      for (const context& c : some) ASSERT_EQ(c.error(), absl::AbortedError("all"));
    }
    woken.wait();
  });
}

TEST(ContextTree, WhateverIsBelowAContextThatIsDoneIsDoneToo) {
  baton::run([] {
    for (int round = 0; round < 50; ++round) {
      const auto top = with_cancel(context::background());
      const auto middle = with_cancel(top);
      std::vector<context> leaves;
      for (int i = 0; i < 300; ++i) leaves.push_back(with_cancel(middle));
      auto canceller = baton::spawn([&] { top.cancel(absl::AbortedError("top")); });
      auto other = baton::spawn([&] { middle.cancel(absl::DataLossError("middle")); });
      while (!top.is_done()) baton::this_fiber::yield();
      const absl::Status first = leaves.back().error();
      EXPECT_FALSE(first.ok());
      for (const context& c : leaves) EXPECT_TRUE(c.is_done());
      canceller.join();
      other.join();
      EXPECT_EQ(leaves.back().error(), first);
    }
  });
}

TEST(ContextTree, ADeadlineReachesVeryMany) {
  baton::run([] {
    const auto top = with_timeout(context::background(), 20ms);
    std::vector<context> below;
    for (int i = 0; i < 20'000; ++i) below.push_back(with_cancel(top));
    baton::latch woken(100);
    for (int i = 0; i < 100; ++i) {
      baton::go([&woken, c = below[static_cast<std::size_t>(i) * 150]] {
        c.wait_done();
        woken.count_down();
      });
    }
    const auto born_late = [&] { return with_cancel(top); };
    top.wait_done();
    EXPECT_TRUE(absl::IsDeadlineExceeded(born_late().error()));
    for (const context& c : below) ASSERT_TRUE(absl::IsDeadlineExceeded(c.error()));
    woken.wait();
  });
}

// What one step of a cancel holds is bounded, so other agents can use the same context meanwhile.
TEST(ContextTree, IsUsedWhileVeryManyAreCancelled) {
  baton::run(
      [] {
        const auto top = with_cancel(context::background());
        std::vector<context> below;
        for (int i = 0; i < 200'000; ++i) below.push_back(with_cancel(top));
        std::atomic<bool> over{false};
        std::atomic<int> used{0};
        std::thread other([&] {
          while (!top.is_done()) std::this_thread::yield();
          while (!over) {
            EXPECT_TRUE(with_cancel(top).is_done());
            EXPECT_FALSE(top.as_cancellation()->error().ok());
            used.fetch_add(1);
          }
        });
        top.cancel();
        over = true;
        other.join();
        for (const context& c : below) ASSERT_TRUE(c.is_done());
      },
      {.procs = 2});
}

TEST(ContextTree, SubscribersOfOneContextComeAndGoOnManyPs) {
  baton::run([] {
    for (int round = 0; round < 20; ++round) {
      const auto top = with_cancel(context::background());
      std::vector<baton::fiber<int>> fibers;
      std::atomic<bool> began{false};
      for (int f = 0; f < 8; ++f) {
        fibers.push_back(baton::spawn([&] {
          const auto source = top.as_cancellation();
          for (int n = 0;; ++n) {
            counting_listener l;
            if (!source->subscribe(l)) return n;
            if (n % 16 == 0) baton::this_fiber::yield();
            source->unsubscribe(l);
            EXPECT_LE(l.calls, 1);
            if (n == 100) began = true;
          }
        }));
      }
      std::vector<std::unique_ptr<counting_listener>> stay;
      for (int i = 0; i < 100; ++i) {
        stay.push_back(std::make_unique<counting_listener>());
        EXPECT_TRUE(top.as_cancellation()->subscribe(*stay.back()));
        baton::this_fiber::yield();
      }
      while (!began) baton::this_fiber::yield();
      top.cancel();
      for (auto& f : fibers) static_cast<void>(f.join());
      for (auto& l : stay) {
        top.as_cancellation()->unsubscribe(*l);
        EXPECT_EQ(l->calls, 1);
      }
    }
  });
}

TEST(ContextTree, UnsubscribingElsewhereDoesNothing) {
  const auto a = with_cancel(context::background());
  const auto b = with_cancel(context::background());
  counting_listener l;
  b.as_cancellation()->unsubscribe(l);
  ASSERT_TRUE(a.as_cancellation()->subscribe(l));
  b.as_cancellation()->unsubscribe(l);
  a.cancel();
  EXPECT_EQ(l.calls, 1);
  a.as_cancellation()->unsubscribe(l);
  ASSERT_TRUE(b.as_cancellation()->subscribe(l)) << "it may be used again";
  b.as_cancellation()->unsubscribe(l);
  b.cancel();
  EXPECT_EQ(l.calls, 1);
}

// Parents end before their children, and children before their parents, while contexts above both are cancelled.
TEST(ContextTree, ChangesWhileItIsCancelled) {
  baton::run([] {
    for (int round = 0; round < 60; ++round) {
      const auto top = round % 3 == 0 ? with_timeout(context::background(), 1ms) : with_cancel(context::background());
      std::vector<baton::fiber<void>> fibers;
      for (int f = 0; f < 6; ++f) {
        fibers.push_back(baton::spawn([&, f] {
          for (int i = 0; !top.is_done(); ++i) {
            std::optional<cancellable_context> middle = with_cancel(top);
            std::optional<context> leaf = i % 2 == 0 ? with_cancel(*middle) : with_timeout(*middle, 1h);
            const context far = with_cancel(*leaf);
            if (i % 4 == f % 4) middle.reset();
            leaf.reset();
            if (i % 5 == 0 && middle) middle->cancel();
            if (i % 7 == 0) baton::this_fiber::yield();
            if (i % 11 == 0) {
              baton::select(baton::on_done(far, [] {}), baton::otherwise([] {}));
              static_cast<void>(far.wait_done_for(0s));
            }
          }
        }));
      }
      if (round % 3 == 0) {
        top.wait_done();
      } else {
        baton::this_fiber::sleep_for(200us);
        top.cancel();
      }
      for (auto& f : fibers) f.join();
    }
  });
}

TEST(ContextTree, DroppedParentsPassOnWhatComesFromAbove) {
  const auto top = with_cancel(context::background());
  std::vector<context> leaves;
  {
    const auto middle = with_cancel(top);
    for (int i = 0; i < 10; ++i) leaves.push_back(with_cancel(middle));
  }
  leaves.erase(leaves.begin(), leaves.begin() + 5);
  EXPECT_FALSE(leaves.front().is_done());
  top.cancel(absl::AbortedError("gone"));
  for (const context& c : leaves) EXPECT_EQ(c.error(), absl::AbortedError("gone"));
}

class ContextDeathTest : public testing::Test {
 protected:
  ContextDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ContextDeathTest, OneThatWasNeverAssignedToSaysSo) {
  constexpr auto* said = "of a cancellable_context that was default-constructed or moved from";
  const cancellable_context none;
  const context as_context = none;
  EXPECT_DEATH(none.cancel(), said);
  EXPECT_DEATH(static_cast<void>(none.is_done()), said);
  EXPECT_DEATH(static_cast<void>(none.error()), said);
  EXPECT_DEATH(static_cast<void>(none.deadline()), said);
  EXPECT_DEATH(none.wait_done(), said);
  EXPECT_DEATH(static_cast<void>(none.wait_done_for(1s)), said);
  EXPECT_DEATH(static_cast<void>(none.as_cancellation()), said);
  EXPECT_DEATH(static_cast<void>(with_cancel(none)), said);
  EXPECT_DEATH(static_cast<void>(as_context.is_done()), said);
  EXPECT_DEATH(baton::select(baton::on_done(none, [] {})), said);
  EXPECT_DEATH(const baton::on_cancel hook(none, [] {}), said);
  EXPECT_DEATH(const baton::task_group children(none), said);
  cancellable_context other;
  EXPECT_EQ(none, other);
  other = none;
  cancellable_context& same = other;
  other = std::move(same);
  EXPECT_DEATH(other.cancel(), said);
}

TEST_F(ContextDeathTest, OneThatWasMovedFromSaysSo) {
  auto a = with_cancel(context::background());
  const auto b = std::move(a);
  EXPECT_FALSE(b.is_done());
  EXPECT_DEATH(a.cancel(), "moved from");  // NOLINT(bugprone-use-after-move): that is what it is about
  a = b;
  a.cancel();
  EXPECT_TRUE(b.is_done());
  const context as_context = std::move(a);
  EXPECT_TRUE(as_context.is_done());
  EXPECT_DEATH(a.cancel(), "moved from");  // NOLINT(bugprone-use-after-move)
}

}  // namespace
