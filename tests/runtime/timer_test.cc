#include "parked.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/select.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/timer.h>
#include <baton/runtime/wait_group.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN

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
using baton::timer;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;
using time_point = clock::time_point;

TEST(Timer, FiresNotBeforeItsTime) {
  baton::run([] {
    const auto begin = clock::now();
    const timer t(3ms);
    const auto at = t.fired().receive();
    ASSERT_TRUE(at);
    EXPECT_GE(*at - begin, 3ms);
    EXPECT_LE(*at, clock::now());
  });
}

TEST(Timer, FiresOnce) {
  baton::run([] {
    const timer t(1ms);
    const auto c = t.fired();
    EXPECT_TRUE(c.receive());
    std::optional<time_point> again;
    EXPECT_EQ(c.receive_for(again, 5ms), baton::channel_status::timeout);
    EXPECT_EQ(t.fired(), c);
  });
}

TEST(Timer, OneWhoseTimeHasPassedIsReadyAtOnce) {
  const timer zero(0s);
  const timer past(-1h);
  std::optional<time_point> at;
  EXPECT_EQ(zero.fired().try_receive(at), baton::channel_status::ok);
  EXPECT_EQ(past.fired().try_receive(at), baton::channel_status::ok);
  baton::run([] {
    const timer t(1ms);  // without a receiver so far
    baton::this_fiber::sleep_for(2ms);
    std::optional<time_point> late;
    EXPECT_EQ(t.fired().try_receive(late), baton::channel_status::ok);
  });
}

TEST(Timer, StopSaysWhetherItWasPending) {
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
TEST(Timer, NoStaleValueAfterStop) {
  baton::run([] {
    timer t(1ms);
    const auto c = t.fired();
    while (c.size() == 0) baton::this_fiber::yield();
    EXPECT_TRUE(t.stop()) << "nobody had received it";
    EXPECT_EQ(c.size(), 0U);
    EXPECT_FALSE(t.stop());
  });
}

// No other agent is meant to send into the channel; one that does must still not be forgotten.
TEST(Timer, StopLetsASenderOfOnesOwnGoOn) {
  baton::run([] {
    timer t(1h);
    const auto c = t.fired();
    ASSERT_TRUE(c.send({}));
    watched_agent waits;
    auto sender = baton::spawn([&] {
      waits.about_to_wait();
      return c.send({});
    });
    waits.await_parked();
    EXPECT_TRUE(t.stop());
    EXPECT_TRUE(sender.join());
  });
}

TEST(Timer, NoStaleValueAfterReset) {
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

TEST(Timer, ResetMovesItBothWays) {
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

TEST(Timer, TheEndOfTheTimerStopsIt) {
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

TEST(Timer, ADetachedOneGoesOn) {
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

TEST(Timer, Moves) {
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

TEST(Timer, WakesAPlainThreadAndASelect) {
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

TEST(Timer, ManyFireEachInItsTime) {
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

// The core of Go's TestTimerStopReset tests: at most one value comes of each arming, and none after stop() has said
// that the timer was pending.
TEST(Timer, StopsAndResetsRaceWithFiring) {
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
            // It was not pending, so it was received; only the code below receives.
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

TEST(Timer, SeveralMayListenStopAndResetAtOnce) {
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

TEST(AfterFunc, CallsItInAFiberOfItsOwn) {
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

TEST(AfterFunc, AFunctionThatWaitsHoldsUpNobody) {
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

TEST(AfterFunc, StoppedItIsNotCalled) {
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

TEST(AfterFunc, OwnsItsFunctionUntilTheEnd) {
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

// The timer_worker serves all timers; a destructor of the user's must not hold it up.
TEST(AfterFunc, AFunctionWhoseDestructorWaitsForATimer) {
  baton::run([] {
    struct waits {
      std::atomic<int>* ended;
      explicit waits(std::atomic<int>* e) : ended(e) {}
      waits(waits&& other) noexcept : ended(std::exchange(other.ended, nullptr)) {}
      waits& operator=(waits&&) = delete;
      ~waits() {
        if (ended == nullptr) return;
        static_cast<void>(baton::after(50us).receive());
        ++*ended;
      }
    };
    std::atomic<int> ended{0};
    constexpr int rounds = 300;
    for (int i = 0; i < rounds; ++i) {
      timer t = baton::after_func(std::chrono::microseconds(i % 40), [w = waits(&ended)] { static_cast<void>(w); });
      if (i % 3 == 0) {
        t.detach();
      } else if (i % 3 == 1) {
        for (int n = 0; n < 5 && t.reset(std::chrono::microseconds(i % 20)); ++n) baton::this_fiber::yield();
      } else {
        baton::this_fiber::sleep_for(std::chrono::microseconds(i % 30));
      }
    }
    while (ended < rounds) baton::this_fiber::sleep_for(100us);
  });
}

// Of two timers that are set, the one with the earlier time fires first. This holds with one P, whose timers are all in
// one heap, and while the P is in time: the monitor fires late timers beside it.
TEST(Timer, FiresInTheOrderOfTime) {
  const int procs = baton::set_procs(1);
  baton::run([] {
    constexpr std::size_t count = 100;
    struct one {
      timer t;
      baton::channel<time_point> fired;
      time_point not_due_before;
      time_point due_at;
    };
    std::vector<one> all;
    // All of them have to be set before the first is due.
    for (bool set = false; !set;) {
      all.clear();
      const auto begin = clock::now();
      for (std::size_t i = 0; i < count; ++i) {
        const auto patience = 5ms + (i * 37 % count) * 20us;
        const auto before = clock::now();
        timer t(patience);
        const auto after = clock::now();
        auto fired = t.fired();
        all.push_back({std::move(t), std::move(fired), before + patience, after + patience});
      }
      set = clock::now() < begin + 5ms;
    }
    std::vector<time_point> at;
    for (const one& o : all) at.push_back(o.fired.receive().value());
    bool in_time = true;
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_GE(at[i], all[i].not_due_before);
      in_time = in_time && at[i] < all[i].not_due_before + 1ms;
    }
    for (std::size_t i = 0; in_time && i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) {
        if (all[i].due_at < all[j].not_due_before) {
          ASSERT_LE(at[i], at[j]);
        }
      }
    }
  });
  baton::set_procs(procs);
}

TEST(Timer, AHundredThousandAtOnce) {
#if defined(__SANITIZE_ADDRESS__) || BATON_TSAN
  constexpr std::size_t count = 10'000;
#else
  constexpr std::size_t count = 100'000;
#endif
  baton::run([] {
    const auto begin = clock::now();
    std::vector<timer> timers;
    std::vector<std::chrono::microseconds> patience;
    timers.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      // Half of the timers do not fire while this test runs.
      patience.emplace_back(i % 2 == 0 ? std::chrono::microseconds(i * 7919 % 100'000) : std::chrono::hours(1));
      timers.emplace_back(patience.back());
      static_cast<void>(timers.back().fired());
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 2 == 0) {
        ASSERT_GE(timers[i].fired().receive().value() - begin, patience[i]);
        ASSERT_FALSE(timers[i].stop());
      } else {
        ASSERT_TRUE(timers[i].stop());
      }
    }
  });
}

TEST(Timer, PlainThreadsMakeAndDestroyThem) {
  std::vector<std::jthread> threads;
  std::atomic<int> calls{0};
  std::atomic<int> not_stopped{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 200; ++n) {
        const timer heard(std::chrono::microseconds(n % 50));
        const auto c = heard.fired();
        timer called = baton::after_func(std::chrono::microseconds((n + i) % 60), [&] { ++calls; });
        if (n % 4 == 0) {
          EXPECT_TRUE(c.receive());
        }
        if (!called.stop()) ++not_stopped;
      }
    });
  }
  threads.clear();
  while (calls < not_stopped) std::this_thread::yield();
  EXPECT_EQ(calls, not_stopped) << "stop() says exactly which are called";
}

}  // namespace
