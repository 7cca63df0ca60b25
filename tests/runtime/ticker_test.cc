#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/ticker.h>

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::ticker;
using clock = std::chrono::steady_clock;
using time_point = clock::time_point;

TEST(Ticker, TicksAtItsPace) {
  baton::run([] {
    const auto begin = clock::now();
    const ticker t(1ms);
    for (int i = 1; i <= 10; ++i) {
      const auto at = t.ticks().receive();
      ASSERT_TRUE(at);
      EXPECT_GE(*at - begin, i * 1ms);
    }
  });
}

TEST(Ticker, DropsAndNeverBunches) {
  baton::run([] {
    const ticker t(1ms);
    const auto c = t.ticks();
    EXPECT_TRUE(c.receive());
    baton::this_fiber::sleep_for(8ms);
    EXPECT_LE(c.size(), 1U);
    const auto late = clock::now();
    EXPECT_TRUE(c.receive());  // the tick that waited
    int more = 0;
    while (clock::now() - late < 5ms) {
      EXPECT_TRUE(c.receive());
      ++more;
    }
    const auto passed = clock::now() - late;
    // One for each regular time, and one tick that was due before, but came late.
    EXPECT_LE(more, passed / 1ms + 2);
  });
}

TEST(Ticker, NoTickAfterStop) {
  baton::run([] {
    ticker t(1ms);
    const auto c = t.ticks();
    while (c.size() == 0) baton::this_fiber::yield();
    t.stop();
    std::optional<time_point> at;
    EXPECT_EQ(c.receive_for(at, 5ms), baton::channel_status::timeout) << "taken back, and no more";
    EXPECT_FALSE(c.is_closed());
    t.reset(1ms);
    EXPECT_TRUE(c.receive());
    {
      ticker other(std::move(t));
      EXPECT_TRUE(c.receive());
      t = ticker(1h);
    }
    EXPECT_EQ(c.receive_for(at, 5ms), baton::channel_status::timeout);
    const ticker never(std::chrono::hours::max());
    EXPECT_EQ(never.ticks().receive_for(at, 1ms), baton::channel_status::timeout);
  });
}

TEST(Ticker, WhatIsMovedFromHasNoClock) {
  baton::run([] {
    ticker a(1ms);
    ticker b(1h);
    const auto former = a.ticks();
    const auto of_b = b.ticks();
    a = std::move(b);
    EXPECT_EQ(a.ticks(), of_b);
    EXPECT_FALSE(b.ticks() == former) << "it is gone, not b's";
    std::optional<time_point> at;
    EXPECT_EQ(former.receive_for(at, 5ms), baton::channel_status::timeout);
    EXPECT_EQ(b.ticks().try_receive(at), baton::channel_status::would_block);
    b.stop();
    a.reset(1ms);
    EXPECT_TRUE(of_b.receive());
  });
}

TEST(Ticker, ResetsRaceWithTicks) {
  baton::run([] {
    ticker t(10us);
    const auto c = t.ticks();
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 4; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        for (int n = 0; n < 100; ++n) {
          if (n % 8 == 7) t.stop();
          t.reset(std::chrono::microseconds(10 + (n * 7 + i) % 50));
          std::optional<time_point> at;
          static_cast<void>(c.receive_for(at, 50us));
        }
      }));
    }
    for (auto& f : fibers) f.join();
    t.reset(1ms);
    EXPECT_TRUE(c.receive());
  });
}

TEST(TickerDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(static_cast<void>(ticker(0s)), "ticker: the period is not positive");
  EXPECT_DEATH(baton::run([] {
                 baton::this_fiber::set_name("careless");
                 ticker t(1s);
                 t.reset(-1s);
               }),
               "fiber [0-9]+ \"careless\".*ticker: the period is not positive");
  EXPECT_DEATH(
      {
        ticker t(1h);
        const ticker other(std::move(t));
        t.reset(1h);
      },
      "ticker: reset of one that was moved from");
}

}  // namespace
