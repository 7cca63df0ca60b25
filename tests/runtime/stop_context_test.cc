#include "parked.h"

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <absl/status/status.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;

TEST(StopContext, IsDoneWhenAStopIsRequested) {
  std::stop_source source;
  const baton::context ctx = baton::stop_context(source.get_token());
  EXPECT_TRUE(ctx.error().ok());
  EXPECT_FALSE(ctx.deadline());
  source.request_stop();
  EXPECT_TRUE(ctx.is_done());
  EXPECT_TRUE(absl::IsCancelled(ctx.error()));
  EXPECT_EQ(ctx.error().message(), "a stop was requested");
}

TEST(StopContext, OfATokenThatWasStoppedIsDone) {
  std::stop_source source;
  source.request_stop();
  EXPECT_TRUE(baton::stop_context(source.get_token()).is_done());
}

TEST(StopContext, OfATokenWithoutAStateIsNeverDone) {
  EXPECT_FALSE(baton::stop_context(std::stop_token()).is_done());
  std::stop_token orphan;
  {
    const std::stop_source source;
    orphan = source.get_token();
  }
  EXPECT_FALSE(baton::stop_context(orphan).wait_done_for(1ms));
}

TEST(StopContext, IsDoneWithItsParent) {
  const auto parent = baton::with_timeout(baton::context::background(), 1h);
  std::stop_source source;
  const baton::context ctx = baton::stop_context(source.get_token(), parent);
  EXPECT_EQ(ctx.deadline(), parent.deadline());
  parent.cancel(absl::AbortedError("first"));
  EXPECT_TRUE(absl::IsAborted(ctx.error()));
  source.request_stop();
  EXPECT_TRUE(absl::IsAborted(ctx.error()));
  EXPECT_TRUE(baton::stop_context(source.get_token(), parent).is_done());
}

TEST(StopContext, EndsWaitsOfFibersAndThreads) {
  std::stop_source source;
  const baton::context ctx = baton::stop_context(source.get_token());
  watched_agent watch[2];
  std::jthread thread([&] {
    watch[0].about_to_wait();
    ctx.wait_done();
  });
  baton::run([&] {
    auto fiber = baton::spawn([&] {
      watch[1].about_to_wait();
      ctx.wait_done();
    });
    for (const watched_agent& w : watch) w.await_parked();
    source.request_stop();
    fiber.join();
  });
}

TEST(StopContext, CancelsWhatIsDerivedFromItAfterItsHandlesHaveGone) {
  std::stop_source source;
  const auto below = baton::with_cancel(baton::with_timeout(baton::stop_context(source.get_token()), 1h));
  EXPECT_FALSE(below.is_done());
  source.request_stop();
  EXPECT_TRUE(absl::IsCancelled(below.error()));
  below.wait_done();
}

TEST(StopContext, ThatWasDroppedIsForgotten) {
  std::stop_source source;
  for (int i = 0; i < 100; ++i) static_cast<void>(baton::stop_context(source.get_token()));
  source.request_stop();
}

// The last hold goes while the callback of the token cancels: the context destroys itself there.
TEST(StopContext, MayBeDroppedByWhatItCancels) {
  struct drop final : baton::net::cancellation::node {
    void cancelled() noexcept override { ctx.reset(); }
    std::optional<baton::context> ctx;
  };
  std::stop_source source;
  drop subscriber;
  subscriber.ctx = baton::stop_context(source.get_token());
  ASSERT_TRUE(subscriber.ctx->as_cancellation()->subscribe(subscriber));
  source.request_stop();
  EXPECT_FALSE(subscriber.ctx);
}

TEST(StopContext, MayBeStoppedWhileItIsDropped) {
  baton::run([] {
    for (int round = 0; round < 2000; ++round) {
      std::stop_source source;
      auto ctx = std::make_unique<baton::context>(baton::stop_context(source.get_token()));
      auto below = std::make_unique<baton::context>(baton::with_cancel(*ctx));
      auto stopper = baton::spawn([&] { source.request_stop(); });
      auto dropper = baton::spawn([&] { ctx = nullptr; });
      if (round % 2 != 0) baton::this_fiber::yield();
      below = nullptr;
      stopper.join();
      dropper.join();
    }
  });
}

TEST(StopContext, MayBeMadeWhileTheStopIsRequested) {
  baton::run([] {
    for (int round = 0; round < 1000; ++round) {
      std::stop_source source;
      auto stopper = baton::spawn([&] { source.request_stop(); });
      if (round % 2 != 0) baton::this_fiber::yield();
      const baton::context ctx = baton::stop_context(source.get_token());
      ctx.wait_done();
      stopper.join();
    }
  });
}

}  // namespace
