#include "parked.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/select.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/ticker.h>
#include <baton/runtime/timer.h>
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
using baton::ticker;
using baton::timer;
using baton::test::watched_strand;
using clock = std::chrono::steady_clock;
using time_point = clock::time_point;

TEST(timer, fires_not_before_its_time) {
  baton::run([] {
    const auto begin = clock::now();
    const timer t(3ms);
    const auto at = t.fired().receive();
    ASSERT_TRUE(at);
    EXPECT_GE(*at - begin, 3ms);
    EXPECT_LE(*at, clock::now());
  });
}

TEST(timer, fires_once) {
  baton::run([] {
    const timer t(1ms);
    const auto c = t.fired();
    EXPECT_TRUE(c.receive());
    std::optional<time_point> again;
    EXPECT_EQ(c.receive_for(again, 5ms), baton::channel_status::timeout);
    EXPECT_EQ(t.fired(), c);
  });
}

TEST(timer, one_whose_time_has_passed_is_ready_at_once) {
  const timer zero(0s);
  const timer past(-1h);
  std::optional<time_point> at;
  EXPECT_EQ(zero.fired().try_receive(at), baton::channel_status::ok);
  EXPECT_EQ(past.fired().try_receive(at), baton::channel_status::ok);
  baton::run([] {
    const timer t(1ms);  // nobody listens yet
    baton::this_fiber::sleep_for(2ms);
    std::optional<time_point> late;
    EXPECT_EQ(t.fired().try_receive(late), baton::channel_status::ok);
  });
}

TEST(timer, stop_says_whether_it_was_pending) {
  timer unheard(1h);
  EXPECT_TRUE(unheard.stop());
  EXPECT_FALSE(unheard.stop());
  timer passed(0s);
  EXPECT_TRUE(passed.stop()) << "nobody has received it";
  EXPECT_FALSE(passed.stop());
  timer passed_and_heard(0s);
  const auto its = passed_and_heard.fired();
  EXPECT_TRUE(passed_and_heard.stop()) << "nor this";
  EXPECT_EQ(its.size(), 0U);
  timer heard(1h);
  const auto c = heard.fired();
  EXPECT_TRUE(heard.stop());
  EXPECT_FALSE(heard.stop());
  timer never(std::chrono::hours::max());
  const auto nothing = never.fired();
  EXPECT_TRUE(never.stop());
  EXPECT_FALSE(never.stop());
  baton::run([] {
    timer t(1ms);
    EXPECT_TRUE(t.fired().receive());
    EXPECT_FALSE(t.stop());
  });
}

// As Go 1.23 promises.
TEST(timer, no_stale_value_after_stop) {
  baton::run([] {
    timer t(1ms);
    const auto c = t.fired();
    while (c.size() == 0) baton::this_fiber::yield();
    EXPECT_TRUE(t.stop()) << "nobody had received it";
    EXPECT_EQ(c.size(), 0U);
    EXPECT_FALSE(t.stop());
  });
}

TEST(timer, no_stale_value_after_reset) {
  baton::run([] {
    timer t(1ms);
    const auto c = t.fired();
    while (c.size() == 0) baton::this_fiber::yield();
    const auto begin = clock::now();
    EXPECT_TRUE(t.reset(3ms));
    const auto at = c.receive();
    ASSERT_TRUE(at);
    EXPECT_GE(*at - begin, 3ms);
    EXPECT_FALSE(t.reset(1ms)) << "it was received";
    EXPECT_TRUE(c.receive());
  });
}

TEST(timer, reset_moves_it_both_ways) {
  baton::run([] {
    timer t(1h);
    EXPECT_TRUE(t.reset(2h));
    const auto c = t.fired();
    EXPECT_TRUE(t.reset(1ms));
    EXPECT_TRUE(c.receive());
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.reset(0s));
    EXPECT_EQ(c.size(), 1U);
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(t.reset(1ms)) << "a stopped one goes on";
    EXPECT_TRUE(c.receive());
  });
}

TEST(timer, the_end_of_the_timer_stops_it) {
  baton::run([] {
    std::optional<baton::channel<time_point>> c;
    {
      const timer t(1ms);
      c = t.fired();
    }
    std::optional<time_point> at;
    EXPECT_EQ(c->receive_for(at, 5ms), baton::channel_status::timeout);
  });
}

TEST(timer, a_detached_one_goes_on) {
  baton::run([] {
    std::optional<baton::channel<time_point>> c;
    {
      timer t(1ms);
      c = t.fired();
      t.detach();
      EXPECT_FALSE(t.stop());
    }
    EXPECT_TRUE(c->receive());
    timer unheard(1h);
    unheard.detach();
    timer never(std::chrono::hours::max());
    static_cast<void>(never.fired());
    never.detach();
  });
}

TEST(timer, moves) {
  baton::run([] {
    timer a(1ms);
    const auto c = a.fired();
    timer b(std::move(a));
    EXPECT_FALSE(a.stop());  // NOLINT: what is moved from is as a stopped one
    EXPECT_TRUE(c.receive());
    b = timer(1h);
    EXPECT_TRUE(b.stop());
    std::vector<timer> many;
    for (int i = 0; i < 20; ++i) many.emplace_back(1ms * (i % 3));
    for (const timer& t : many) EXPECT_TRUE(t.fired().receive());
  });
}

TEST(timer, wakes_a_plain_thread_and_a_select) {
  const timer t(1ms);
  EXPECT_TRUE(t.fired().receive());
  baton::run([] {
    timer first(2ms);
    const timer second(1h);
    int which = 0;
    baton::select(baton::on_receive(first.fired(), [&](std::optional<time_point>) { which = 1; }),
                  baton::on_receive(second.fired(), [&](std::optional<time_point>) { which = 2; }));
    EXPECT_EQ(which, 1);
    const auto begin = clock::now();
    baton::select(baton::on_receive(baton::after(2ms), [](std::optional<time_point>) {}),
                  baton::on_receive(second.fired(), [](std::optional<time_point>) { FAIL(); }));
    EXPECT_GE(clock::now() - begin, 2ms);
  });
}

TEST(timer, many_fire_each_in_its_time) {
  baton::run([] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 1'000; ++i) {
      fibers.push_back(baton::spawn([i] {
        const auto patience = std::chrono::microseconds((i * 37) % 5'000);
        const auto begin = clock::now();
        EXPECT_TRUE(baton::after(patience).receive());
        EXPECT_GE(clock::now() - begin, patience);
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

// The heart of Go's TestTimerStopReset tests: of each arming at most one value comes, and none after
// stop() has said that it was pending.
TEST(timer, stops_and_resets_race_with_firing) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  baton::run([seed] {
    std::vector<baton::fiber<void>> fibers;
    for (unsigned i = 0; i < 16; ++i) {
      fibers.push_back(baton::spawn([seed, i] {
        std::mt19937 random(seed + i);
        const auto soon = [&] { return std::chrono::microseconds(random() % 60); };
        timer t(soon());
        const auto c = t.fired();
        for (int n = 0; n < 300; ++n) {
          if (random() % 2 == 0) baton::this_fiber::sleep_for(soon());
          std::optional<time_point> at;
          if (t.stop()) {
            ASSERT_EQ(c.try_receive(at), baton::channel_status::would_block) << "seed " << seed;
          } else {
            // Not pending, so it was received, which nobody does but us, below.
            FAIL() << "a value was lost; seed " << seed;
          }
          const auto wait = soon();
          const auto begin = clock::now();
          ASSERT_FALSE(t.reset(wait));
          if (random() % 3 == 0) {
            ASSERT_TRUE(c.receive());
            ASSERT_GE(clock::now() - begin, wait) << "a stale value; seed " << seed;
            ASSERT_FALSE(t.reset(soon()));
          }
        }
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

TEST(timer, several_may_listen_stop_and_reset_at_once) {
  baton::run([] {
    for (int round = 0; round < 100; ++round) {
      timer t(20us);
      std::atomic<int> got{0};
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          std::optional<time_point> at;
          if (i == 0) {
            static_cast<void>(t.stop());
          } else if (i == 1) {
            static_cast<void>(t.reset(10us));
          } else if (t.fired().receive_for(at, 100us) == baton::channel_status::ok) {
            ++got;
          }
        }));
      }
      for (auto& f : fibers) f.join();
      EXPECT_LE(got, 2);
    }
  });
}

TEST(after_func, calls_it_in_a_fiber_of_its_own) {
  baton::run([] {
    baton::event done;
    const auto self = baton::this_fiber::id();
    const auto begin = clock::now();
    timer t = baton::after_func(2ms, [&] {
      EXPECT_TRUE(baton::this_fiber::on_fiber());
      EXPECT_NE(baton::this_fiber::id(), self);
      EXPECT_GE(clock::now() - begin, 2ms);
      baton::this_fiber::yield();
      done.set();
    });
    done.wait();
    EXPECT_FALSE(t.stop());
    EXPECT_EQ(t.fired().size(), 0U);
  });
}

TEST(after_func, a_function_that_waits_holds_up_nobody) {
  baton::run([] {
    baton::event go_on;
    baton::wait_group calls;
    calls.add(4);
    baton::event other;
    timer blocked = baton::after_func(0s, [&] {
      go_on.wait();
      calls.done();
    });
    timer second = baton::after_func(1ms, [&] {
      other.set();
      calls.done();
    });
    other.wait();
    blocked.reset(0s);  // a second call, beside the first
    timer last = baton::after_func(1ms, [&] {
      go_on.set();
      calls.done();
    });
    calls.wait();
  });
}

TEST(after_func, stopped_it_is_not_called) {
  baton::run([] {
    std::atomic<int> calls{0};
    timer t = baton::after_func(1h, [&] { ++calls; });
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(t.stop());
    {
      timer gone = baton::after_func(1ms, [&] { ++calls; });
    }
    baton::this_fiber::sleep_for(3ms);
    EXPECT_EQ(calls, 0);
    baton::event done;
    timer again = baton::after_func(1h, [&] { done.set(); });
    EXPECT_TRUE(again.reset(1ms));
    done.wait();
    done.reset();
    EXPECT_FALSE(again.reset(1ms));
    done.wait();
  });
}

TEST(after_func, owns_its_function_until_the_end) {
  baton::run([] {
    auto watched = std::make_shared<int>(1);
    const std::weak_ptr<int> life = watched;
    baton::event inside;
    baton::event go_on;
    baton::event done;
    {
      timer t = baton::after_func(0s, [&, held = std::move(watched), only = std::make_unique<int>(2)] {
        inside.set();
        go_on.wait();
        EXPECT_EQ(*held + *only, 3);
        done.set();
      });
      inside.wait();
    }
    EXPECT_FALSE(life.expired()) << "the call still runs";
    go_on.set();
    done.wait();
    while (!life.expired()) baton::this_fiber::yield();

    auto detached = baton::after_func(1ms, [&] { done.set(); });
    done.reset();
    detached.detach();
    done.wait();
  });
}

TEST(ticker, ticks_at_its_pace) {
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

TEST(ticker, drops_and_never_bunches) {
  baton::run([] {
    const ticker t(1ms);
    const auto c = t.ticks();
    EXPECT_TRUE(c.receive());
    baton::this_fiber::sleep_for(8ms);
    EXPECT_LE(c.size(), 1U);
    const auto late = clock::now();
    EXPECT_TRUE(c.receive());  // the one that waited
    int more = 0;
    while (clock::now() - late < 5ms) {
      EXPECT_TRUE(c.receive());
      ++more;
    }
    const auto passed = clock::now() - late;
    EXPECT_LE(more, passed / 1ms + 1);
  });
}

TEST(ticker, no_tick_after_stop) {
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

TEST(ticker, resets_race_with_ticks) {
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

TEST(ticker_death_test, misuse_aborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(static_cast<void>(ticker(0s)), "ticker: the period is not positive");
  EXPECT_DEATH(baton::run([] {
                 baton::this_fiber::set_name("careless");
                 ticker t(1s);
                 t.reset(-1s);
               }),
               "fiber [0-9]+ \"careless\".*ticker: the period is not positive");
}

}  // namespace
