#include <baton/netpoll/cancellation.h>
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::context;
using baton::with_cancel;
using baton::with_deadline;
using baton::with_timeout;
using steady = std::chrono::steady_clock;

TEST(Context, TheBackgroundIsNeverDone) {
  const context c = context::background();
  EXPECT_FALSE(c.is_done());
  EXPECT_TRUE(c.error().ok());
  EXPECT_FALSE(c.deadline());
  EXPECT_EQ(nullptr, c.as_cancellation());
  EXPECT_FALSE(c.wait_done_for(1ms));
  EXPECT_EQ(c, context());
}

TEST(Context, CancelMakesItDoneWithTheCause) {
  const auto c = with_cancel(context::background());
  EXPECT_FALSE(c.is_done());
  EXPECT_TRUE(c.error().ok());
  c.cancel(absl::DataLossError("disk on fire"));
  EXPECT_TRUE(c.is_done());
  EXPECT_EQ(absl::DataLossError("disk on fire"), c.error());
  c.cancel(absl::InternalError("later"));
  EXPECT_EQ(absl::DataLossError("disk on fire"), c.error());
  c.wait_done();
}

TEST(Context, CancelWithoutACauseIsCancelled) {
  const auto c = with_cancel(context::background());
  c.cancel();
  EXPECT_TRUE(absl::IsCancelled(c.error()));
  const auto d = with_cancel(context::background());
  d.cancel(absl::OkStatus());
  EXPECT_TRUE(absl::IsCancelled(d.error()));
}

TEST(Context, CancellingReachesWhatIsBelowAndNothingElse) {
  const auto top = with_cancel(context::background());
  const auto left = with_cancel(top);
  const auto right = with_cancel(top);
  const auto left_leaf = with_timeout(left, 1h);
  const auto right_leaf = with_cancel(right);
  left.cancel(absl::AbortedError("left"));
  EXPECT_FALSE(top.is_done());
  EXPECT_FALSE(right.is_done());
  EXPECT_FALSE(right_leaf.is_done());
  EXPECT_EQ(absl::AbortedError("left"), left_leaf.error());
  top.cancel(absl::AbortedError("top"));
  EXPECT_EQ(absl::AbortedError("top"), top.error());
  EXPECT_EQ(absl::AbortedError("top"), right_leaf.error());
  EXPECT_EQ(absl::AbortedError("left"), left.error()) << "the first cause wins";
  EXPECT_EQ(absl::AbortedError("left"), left_leaf.error());
  const auto born_done = with_timeout(right, 1h);
  EXPECT_EQ(absl::AbortedError("top"), born_done.error());
}

TEST(Context, DroppingAHandleCancelsNothing) {
  const auto top = with_cancel(context::background());
  std::optional<context> leaf;
  {
    const auto middle = with_cancel(top);
    leaf = with_cancel(middle);
  }
  EXPECT_FALSE(leaf->is_done());
  EXPECT_FALSE(top.is_done());
  top.cancel();
  EXPECT_TRUE(leaf->is_done()) << "the middle one is kept by the leaf";
}

TEST(Context, ParentsDoNotKeepTheirChildren) {
  const auto top = with_cancel(context::background());
  std::weak_ptr<baton::net::cancellation> child;
  {
    const auto c = with_timeout(top, 1h);
    child = c.as_cancellation();
    EXPECT_FALSE(child.expired());
  }
  EXPECT_TRUE(child.expired());
  for (int i = 0; i < 1000; ++i) static_cast<void>(with_cancel(top));
  top.cancel();
}

TEST(Context, ADeadlineMakesItDone) {
  baton::run([] {
    const auto before = steady::now();
    const auto c = with_timeout(context::background(), 3ms);
    ASSERT_TRUE(c.deadline());
    EXPECT_GE(*c.deadline(), before + 3ms);
    c.wait_done();
    EXPECT_GE(steady::now(), *c.deadline());
    EXPECT_TRUE(c.is_done());
    EXPECT_TRUE(absl::IsDeadlineExceeded(c.error()));
    c.cancel(absl::InternalError("too late"));
    EXPECT_TRUE(absl::IsDeadlineExceeded(c.error()));
  });
}

TEST(Context, ADeadlineReachesWhatIsBelow) {
  baton::run([] {
    const auto top = with_timeout(context::background(), 3ms);
    const auto leaf = with_cancel(with_cancel(top));
    auto waiter = baton::spawn([leaf] {
      leaf.wait_done();
      return leaf.error();
    });
    EXPECT_TRUE(absl::IsDeadlineExceeded(waiter.join()));
  });
}

TEST(Context, TheEarlierDeadlineCounts) {
  const auto early = steady::now() + 1h;
  const auto late = steady::now() + 2h;
  const auto a = with_deadline(context::background(), early);
  EXPECT_EQ(early, a.deadline());
  EXPECT_EQ(early, with_deadline(a, late).deadline());
  EXPECT_EQ(early, with_cancel(a).deadline());
  const auto b = with_deadline(context::background(), late);
  EXPECT_EQ(early, with_deadline(b, early).deadline());
  EXPECT_FALSE(with_timeout(context::background(), std::chrono::hours::max()).deadline());
  EXPECT_FALSE(with_deadline(context::background(), steady::time_point::max()).deadline());
}

TEST(Context, APastDeadlineIsDoneFromTheStart) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(with_timeout(context::background(), 0s).error()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(with_timeout(context::background(), -1h).error()));
  const auto past = std::chrono::system_clock::now() - 1h;
  EXPECT_TRUE(absl::IsDeadlineExceeded(with_deadline(context::background(), past).error()));
}

TEST(Context, WaitsEndByCancelOrByTheirOwnTime) {
  baton::run([] {
    const auto c = with_cancel(context::background());
    const auto before = steady::now();
    EXPECT_FALSE(c.wait_done_for(2ms));
    EXPECT_GE(steady::now() - before, 2ms);
    EXPECT_FALSE(c.wait_done_until(steady::now()));
    std::vector<baton::fiber<bool>> waiters;
    for (int i = 0; i < 50; ++i) {
      waiters.push_back(baton::spawn([c, i] {
        if (i % 2 == 0) {
          c.wait_done();
          return true;
        }
        return c.wait_done_for(1h);
      }));
    }
    std::jthread plain([c] { c.wait_done(); });
    auto canceller = baton::spawn([c] { c.cancel(); });
    for (auto& w : waiters) EXPECT_TRUE(w.join());
  });
}

TEST(Context, TimeoutsRaceWithCancelsAndDrops) {
  baton::run([] {
    std::vector<baton::fiber<void>> all;
    for (int i = 0; i < 50; ++i) {
      all.push_back(baton::spawn([i] {
        for (int round = 0; round < 50; ++round) {
          const auto top = with_timeout(context::background(), std::chrono::microseconds(20 * (i % 10)));
          auto leaf = with_timeout(top, 100us);
          if (round % 3 == 0) {
            leaf.cancel(absl::AbortedError("by hand"));
          } else if (round % 3 == 1) {
            leaf.wait_done();
          } else {
            static_cast<void>(leaf.wait_done_for(50us));
          }
          if (leaf.is_done()) {
            EXPECT_FALSE(leaf.error().ok());
          }
        }
      }));
    }
    for (auto& f : all) f.join();
  });
}

TEST(Context, ADeepTreeIsCancelledWithoutRecursion) {
  const auto top = with_cancel(context::background());
  std::vector<context> chain{top};
  for (int i = 0; i < 10'000; ++i) chain.push_back(with_cancel(chain.back()));
  top.cancel();
  for (const context& c : chain) ASSERT_TRUE(c.is_done());
}

TEST(Context, ADeepTreeIsDroppedWithoutRecursion) {
  baton::run([] {
    for (int branch = 0; branch < 3; ++branch) {
      context leaf = with_cancel(context::background());
      const context fork = leaf;
      for (int i = 0; i < 20'000; ++i) leaf = i % 2 == 0 ? with_cancel(leaf) : with_timeout(leaf, 1h);
      EXPECT_FALSE(leaf.is_done());
      leaf = context();  // the last handle: this destroys the whole chain except the first
      EXPECT_FALSE(fork.is_done());
    }
  });
}

// As Go's TestSimultaneousCancels: no two contexts of a tree wait for each other.
TEST(Context, AllOfATreeMayBeCancelledAtOnce) {
  baton::run([] {
    const auto top = with_cancel(context::background());
    std::vector<baton::cancellable_context> all{top};
    for (std::size_t i = 0; i < 200; ++i) all.push_back(with_cancel(all[i / 2]));
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = all.size(); i-- > 0;) {
      fibers.push_back(baton::spawn([c = all[i], i] { c.cancel(absl::AbortedError(std::to_string(i))); }));
      fibers.push_back(baton::spawn([c = all[i]] { c.wait_done(); }));
    }
    for (auto& f : fibers) f.join();
    for (const context& c : all) EXPECT_TRUE(absl::IsAborted(c.error()));
  });
}

TEST(Context, AnEarlierDeadlineAboveEndsWhatHasALaterOne) {
  baton::run([] {
    const auto top = with_timeout(context::background(), 2ms);
    const auto leaf = with_timeout(with_timeout(top, 1h), 2h);
    EXPECT_EQ(leaf.deadline(), top.deadline());
    leaf.wait_done();
    EXPECT_TRUE(absl::IsDeadlineExceeded(leaf.error()));
    EXPECT_TRUE(top.is_done());
    // The other order: the lower context ends alone.
    const auto wide = with_timeout(context::background(), 1h);
    const auto narrow = with_timeout(wide, 2ms);
    narrow.wait_done();
    EXPECT_FALSE(wide.is_done());
  });
}

struct listener final : baton::net::cancellation::node {
  void cancelled() noexcept override {
    calls.fetch_add(1);
    called.set();
  }
  std::atomic<int> calls{0};
  baton::event called;
};

// With one P: a timer that another P cancels is counted until the owner of the timers checks them.
TEST(Context, WhatIsCancelledFromAboveGivesUpItsTimer) {
  baton::run(
      [] {
        const auto before = baton::stats().timers;
        const auto top = with_cancel(context::background());
        std::vector<context> below;
        for (int i = 0; i < 200; ++i) {
          below.push_back(with_timeout(i % 2 == 0 ? context(top) : below.back(), 1h - i * 1s));
        }
        top.cancel();
        EXPECT_LE(baton::stats().timers, before);
      },
      {.procs = 1});
}

// The parent is cancelled while children are made, and set their timers.
TEST(Context, CancellingRacesWithMakingWhatIsBelow) {
  baton::run([] {
    for (int round = 0; round < 200; ++round) {
      const auto top = with_cancel(context::background());
      auto made = baton::spawn([&] {
        std::vector<context> all;
        for (int i = 0; i < 20; ++i) all.push_back(with_timeout(top, 1h));
        return all;
      });
      baton::this_fiber::yield();
      top.cancel();
      const auto all = made.join();
      for (const auto& c : all) EXPECT_TRUE(c.is_done());
    }
  });
}

TEST(Context, SubscribersAreCalledOnce) {
  const auto top = with_cancel(context::background());
  const auto leaf = with_cancel(top);
  const auto c = leaf.as_cancellation();
  listener a;
  listener b;
  listener gone;
  EXPECT_TRUE(c->subscribe(a));
  EXPECT_TRUE(c->subscribe(gone));
  EXPECT_TRUE(c->subscribe(b));
  c->unsubscribe(gone);
  top.cancel(absl::AbortedError("x"));
  EXPECT_EQ(1, a.calls);
  EXPECT_EQ(1, b.calls);
  EXPECT_EQ(0, gone.calls);
  EXPECT_EQ(absl::AbortedError("x"), c->error());
  c->unsubscribe(a);
  c->unsubscribe(b);
  EXPECT_FALSE(c->subscribe(a));
  EXPECT_EQ(1, a.calls);
}

TEST(Context, SubscribersHearOfADeadline) {
  baton::run([] {
    listener a;
    auto c = with_timeout(context::background(), 2ms).as_cancellation();
    ASSERT_TRUE(c->subscribe(a));
    a.called.wait();
    EXPECT_TRUE(absl::IsDeadlineExceeded(c->error()));
    c->unsubscribe(a);
    EXPECT_EQ(1, a.calls);
  });
}

TEST(Context, UnsubscribingRacesWithCancelling) {
  baton::run([] {
    for (int i = 0; i < 500; ++i) {
      const auto c = with_timeout(context::background(), std::chrono::microseconds(i % 100));
      auto canceller = baton::spawn([c] { c.cancel(); });
      auto l = std::make_unique<listener>();
      const auto source = c.as_cancellation();
      const bool subscribed = source->subscribe(*l);
      if (i % 2 == 0) baton::this_fiber::yield();
      source->unsubscribe(*l);
      const int calls = l->calls;
      EXPECT_LE(calls, subscribed ? 1 : 0);
      l.reset();  // no longer used
      canceller.join();
    }
  });
}

}  // namespace
