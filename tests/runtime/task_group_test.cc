#include "parked.h"

#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber_local.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/task_group.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::context;
using baton::task_group;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;

int plain_calls = 0;
void plain_function() { ++plain_calls; }

TEST(TaskGroup, RunsEveryKindOfFunction) {
  baton::run([] {
    std::atomic<int> calls{0};
    task_group g;
    g.spawn([&] { ++calls; });
    g.spawn([&](const context& ctx) {
      EXPECT_EQ(ctx, g.ctx());
      ++calls;
    });
    g.spawn([&]() -> absl::Status {
      ++calls;
      return absl::OkStatus();
    });
    g.spawn([&, only = std::make_unique<int>(1)](const context&) -> absl::Status {
      calls += *only;
      return absl::OkStatus();
    });
    g.spawn(plain_function);
    EXPECT_TRUE(g.wait().ok());
    EXPECT_EQ(calls, 4);
    EXPECT_EQ(plain_calls, 1);
    EXPECT_FALSE(g.ctx().is_done());
  });
}

TEST(TaskGroup, AnEmptyOneHasSucceeded) {
  task_group g;
  EXPECT_TRUE(g.wait().ok());
  EXPECT_TRUE(g.wait_for(0s));
}

// As errgroup's TestWithContext.
TEST(TaskGroup, TheFirstErrorCancelsTheRestAndIsTheResult) {
  baton::run([] {
    task_group g;
    std::atomic<int> cancelled{0};
    for (int i = 0; i < 5; ++i) {
      g.spawn([&](const context& ctx) {
        ctx.wait_done();
        ++cancelled;
        return ctx.error();
      });
    }
    g.spawn([]() -> absl::Status { return absl::DataLossError("disk on fire"); });
    EXPECT_EQ(g.wait(), absl::DataLossError("disk on fire"));
    EXPECT_EQ(cancelled, 5);
    EXPECT_EQ(g.ctx().error(), absl::DataLossError("disk on fire"));
    EXPECT_EQ(g.wait(), absl::DataLossError("disk on fire")) << "a failure stays";
  });
}

TEST(TaskGroup, LaterErrorsAreDropped) {
  baton::run([] {
    task_group g;
    baton::event first_failed;
    const auto watch = baton::spawn([&] { g.ctx().wait_done(), first_failed.set(); });
    g.spawn([]() -> absl::Status { return absl::AbortedError("first"); });
    g.spawn([&]() -> absl::Status {
      first_failed.wait();
      return absl::InternalError("second");
    });
    g.spawn([&] {
      first_failed.wait();
      throw std::runtime_error("third");
    });
    EXPECT_EQ(g.wait(), absl::AbortedError("first"));
  });
}

TEST(TaskGroup, AnExceptionCancelsTheRestAndComesOutOfWait) {
  baton::run([] {
    task_group g;
    g.spawn([](const context& ctx) {
      ctx.wait_done();
      EXPECT_NE(ctx.error().message().find("out of cheese"), std::string::npos);
      return ctx.error();
    });
    g.spawn([] { throw std::runtime_error("out of cheese"); });
    try {
      static_cast<void>(g.wait());
      FAIL();
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "out of cheese");
    }
  });
}

TEST(TaskGroup, ADoneParentReachesTheChildren) {
  baton::run([] {
    const auto parent = with_timeout(context::background(), 2ms);
    task_group g(parent);
    g.spawn([](const context& ctx) {
      ctx.wait_done();
      return ctx.error();
    });
    EXPECT_TRUE(absl::IsDeadlineExceeded(g.wait()));
    g.spawn([](const context& ctx) { EXPECT_TRUE(ctx.is_done()); });
    EXPECT_TRUE(absl::IsDeadlineExceeded(g.wait()));
  });
}

TEST(TaskGroup, CancelIsNoFailureByItself) {
  baton::run([] {
    task_group g;
    g.spawn([](const context& ctx) { ctx.wait_done(); });
    g.cancel(absl::AbortedError("enough"));
    EXPECT_TRUE(g.wait().ok());
    EXPECT_EQ(g.ctx().error(), absl::AbortedError("enough"));
  });
}

TEST(TaskGroup, TheDestructorCancelsAndWaits) {
  baton::run([] {
    bool ended = false;
    {
      task_group g;
      g.spawn([&](const context& ctx) {
        ctx.wait_done();
        baton::this_fiber::sleep_for(1ms);
        ended = true;
      });
    }
    EXPECT_TRUE(ended);
  });
}

TEST(TaskGroup, ADroppedExceptionIsReported) {
  testing::internal::CaptureStderr();
  baton::run([] {
    task_group g;
    g.spawn([] { throw std::runtime_error("nobody looked"); });
  });
  EXPECT_NE(testing::internal::GetCapturedStderr().find("nobody looked"), std::string::npos);
}

TEST(TaskGroup, AnExceptionAfterAWaitIsReported) {
  testing::internal::CaptureStderr();
  baton::run([] {
    task_group g;
    g.spawn([] {});
    EXPECT_TRUE(g.wait().ok());
    g.spawn([] { throw std::runtime_error("nobody looked again"); });
  });
  EXPECT_NE(testing::internal::GetCapturedStderr().find("nobody looked again"), std::string::npos);
}

TEST(TaskGroup, AnExceptionThatAWaitHasThrownIsNotReported) {
  testing::internal::CaptureStderr();
  baton::run([] {
    task_group g;
    g.spawn([] { throw std::runtime_error("looked at"); });
    EXPECT_THROW(static_cast<void>(g.wait()), std::runtime_error);
  });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// As errgroup's TestGoLimit.
TEST(TaskGroup, ALimitIsKept) {
  baton::run([] {
    constexpr int limit = 10;
    task_group g;
    g.set_limit(limit);
    std::atomic<int> active{0};
    std::atomic<int> most{0};
    std::atomic<int> calls{0};
    for (int i = 0; i < 500; ++i) {
      g.spawn([&, i] {
        const int now = ++active;
        int before = most;
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        if (i % 3 == 0) baton::this_fiber::yield();
        --active;
        ++calls;
      });
    }
    EXPECT_TRUE(g.wait().ok());
    EXPECT_LE(most, limit);
    EXPECT_EQ(calls, 500);
  });
}

TEST(TaskGroup, SpawnWaitsForRoomAndAHigherLimitMakesIt) {
  baton::run([] {
    task_group g;
    g.set_limit(1);
    baton::event go_on;
    watched_agent spawner;
    std::atomic<int> calls{0};
    g.spawn([&] { go_on.wait(); });
    auto f = baton::spawn([&] {
      spawner.about_to_wait();
      g.spawn([&] { ++calls; });
      ++calls;
    });
    spawner.await_parked();
    EXPECT_EQ(calls, 0);
    g.set_limit(-1);
    f.join();
    go_on.set();
    EXPECT_TRUE(g.wait().ok());
    EXPECT_EQ(calls, 2);
  });
}

TEST(TaskGroup, ChildrenMaySpawnChildren) {
  baton::run([] {
    task_group g;
    std::atomic<int> leaves{0};
    struct splitter {
      task_group& g;
      std::atomic<int>& leaves;
      int depth;
      void operator()() const {
        if (depth == 0) {
          ++leaves;
          return;
        }
        g.spawn(splitter{g, leaves, depth - 1});
        g.spawn(splitter{g, leaves, depth - 1});
      }
    };
    g.spawn(splitter{g, leaves, 8});
    EXPECT_TRUE(g.wait().ok());
    EXPECT_EQ(leaves, 256);
  });
}

TEST(TaskGroup, TimedWaitsGiveUpNotBeforeTheirTime) {
  baton::run([] {
    task_group g;
    baton::event go_on;
    g.spawn([&] { go_on.wait(); });
    const auto begin = clock::now();
    EXPECT_FALSE(g.wait_for(2ms));
    EXPECT_GE(clock::now() - begin, 2ms);
    EXPECT_FALSE(g.wait_until(clock::now() - 1s));
    go_on.set();
    EXPECT_TRUE(g.wait_for(std::chrono::hours::max()));
  });
}

TEST(TaskGroup, WorksFromAPlainThread) {
  task_group g;
  g.set_limit(2);
  std::atomic<int> calls{0};
  for (int i = 0; i < 100; ++i) {
    g.spawn([&] {
      baton::this_fiber::yield();
      ++calls;
    });
  }
  EXPECT_TRUE(g.wait().ok());
  EXPECT_EQ(calls, 100);
}

TEST(TaskGroup, AnEndedChildLeavesNothingBehind) {
  baton::run([] {
    task_group g;
    baton::event go_on;
    g.spawn([&] { go_on.wait(); });
    // Atomic, because seeing a use_count() of 1 orders nothing.
    auto watched = std::make_shared<std::atomic<int>>(0);
    g.spawn([held = watched] { ++*held; });
    while (watched.use_count() > 1) baton::this_fiber::yield();
    EXPECT_EQ(*watched, 1);
    // The fibers end as well: this many at once would be visible.
    g.set_limit(4);
    const auto before = baton::stats().fibers;
    for (int i = 0; i < 5'000; ++i) g.spawn([] {});
    EXPECT_LT(baton::stats().fibers, before + 1'000);
    go_on.set();
    EXPECT_TRUE(g.wait().ok());
  });
}

// What a child's function owns is destroyed before wait() returns.
TEST(TaskGroup, FunctionsAreDestroyedBeforeWaitReturns) {
  baton::run([] {
    struct note {
      std::atomic<int>* alive;
      explicit note(std::atomic<int>* a) : alive(a) { ++*alive; }
      note(note&& other) noexcept : alive(std::exchange(other.alive, nullptr)) {}
      note& operator=(note&&) = delete;
      ~note() {
        if (alive != nullptr) --*alive;
      }
    };
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> alive{0};
      task_group g;
      for (int i = 0; i < 4; ++i) {
        g.spawn([n = note(&alive)] { static_cast<void>(n); });
      }
      EXPECT_TRUE(g.wait().ok());
      EXPECT_EQ(alive, 0);
    }
  });
}

struct slow_to_go {
  std::atomic<int>* gone = nullptr;
  ~slow_to_go() {
    for (int i = 0; i < 10; ++i) baton::this_fiber::yield();
    if (gone != nullptr) ++*gone;
  }
};
baton::fiber_local<slow_to_go> of_a_child;

TEST(TaskGroup, FiberLocalsAreDestroyedBeforeWaitReturns) {
  baton::run([] {
    std::atomic<int> gone{0};
    task_group g;
    for (int i = 0; i < 4; ++i) {
      g.spawn([&] { of_a_child->gone = &gone; });
    }
    EXPECT_TRUE(g.wait().ok());
    EXPECT_EQ(gone, 4);
  });
}

TEST(TaskGroup, MayBeDestroyedWhenWaitHasReturned) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  baton::run([seed] {
    std::mt19937 random(seed);
    for (int round = 0; round < 400; ++round) {
      auto g = std::make_unique<task_group>();
      if (round % 5 == 0) g->set_limit(2);
      const auto children = random() % 6;
      for (unsigned i = 0; i < children; ++i) {
        const auto kind = random() % 8;
        g->spawn([kind](const context& ctx) -> absl::Status {
          if (kind % 2 == 0) baton::this_fiber::yield();
          if (kind == 1) throw std::runtime_error("thrown");
          if (kind == 2) return absl::AbortedError("failed");
          if (kind == 3) return ctx.error();
          return absl::OkStatus();
        });
      }
      try {
        static_cast<void>(g->wait());
      } catch (const std::runtime_error&) {
      }
      g.reset();
    }
  });
}

TEST(TaskGroup, IsUsedAgainAfterWait) {
  baton::run([] {
    task_group g;
    std::atomic<int> calls{0};
    for (int round = 1; round <= 3; ++round) {
      for (int i = 0; i < 5; ++i) g.spawn([&] { ++calls; });
      EXPECT_TRUE(g.wait().ok());
      EXPECT_EQ(calls, 5 * round);
    }
    EXPECT_FALSE(g.ctx().is_done());
  });
}

// A spawn that waits for room is let in when the others fail.
TEST(TaskGroup, AFailureLetsWaitingSpawnsIn) {
  baton::run([] {
    task_group g;
    g.set_limit(1);
    std::atomic<int> saw_cancel{0};
    g.spawn([]() -> absl::Status { return absl::DataLossError("disk on fire"); });
    for (int i = 0; i < 10; ++i) {
      g.spawn([&](const context& ctx) {
        if (ctx.is_done()) ++saw_cancel;
      });
    }
    EXPECT_EQ(g.wait(), absl::DataLossError("disk on fire"));
    EXPECT_EQ(saw_cancel, 10) << "the first had ended before they got in";
  });
}

// The children that are to end would never make room.
TEST(TaskGroup, ASpawnThatWaitsForRoomEndsWhenTheGroupIsCancelled) {
  baton::run([] {
    task_group g;
    g.set_limit(1);
    baton::event go_on;
    g.spawn([&] { go_on.wait(); });
    watched_agent spawner;
    std::atomic<int> saw_cancel{0};
    auto f = baton::spawn([&] {
      spawner.about_to_wait();
      g.spawn([&](const context& ctx) { saw_cancel += ctx.is_done() ? 1 : 0; });
      g.spawn([&](const context& ctx) { saw_cancel += ctx.is_done() ? 1 : 0; });
    });
    spawner.await_parked();
    g.cancel();
    f.join();
    while (saw_cancel != 2) baton::this_fiber::yield();
    go_on.set();
    EXPECT_TRUE(g.wait().ok());
  });
}

TEST(TaskGroup, SpawnsThatDoNotWaitForEver) {
  baton::run([] {
    task_group g;
    g.set_limit(1);
    baton::event go_on;
    std::atomic<int> calls{0};
    EXPECT_TRUE(g.try_spawn([&] { go_on.wait(); }));
    auto kept = [only = std::make_unique<int>(7), &calls] { calls += *only; };
    EXPECT_FALSE(g.try_spawn(std::move(kept)));
    EXPECT_FALSE(g.spawn_for(1ms, std::move(kept)));
    EXPECT_FALSE(g.spawn_until(std::chrono::steady_clock::now() - 1h, std::move(kept)));
    go_on.set();
    EXPECT_TRUE(g.spawn_for(1h, std::move(kept))) << "what was not started was not moved from";
    EXPECT_TRUE(g.wait().ok());
    EXPECT_EQ(calls, 7);
  });
}

TEST(TaskGroup, CancelsRaceWithSpawnsThatWaitForRoom) {
  baton::run([] {
    for (int round = 0; round < 200; ++round) {
      task_group g;
      g.set_limit(1 + round % 3);
      std::atomic<int> calls{0};
      std::vector<baton::fiber<void>> spawners;
      for (int i = 0; i < 4; ++i) {
        spawners.push_back(baton::spawn([&, i] {
          for (int k = 0; k < 5; ++k) {
            const auto f = [&] {
              ++calls;
              baton::this_fiber::yield();
            };
            if (i != 0) {
              g.spawn(f);
            } else {
              while (!g.spawn_for(1us * k, f)) baton::this_fiber::yield();
            }
          }
        }));
      }
      for (int i = 0; i < round % 8; ++i) baton::this_fiber::yield();
      g.cancel();
      for (auto& s : spawners) s.join();
      EXPECT_TRUE(g.wait().ok());
      EXPECT_EQ(calls, 20) << "each is called";
    }
  });
}

// The group holds no lock while it calls an exception's what().
TEST(TaskGroup, ADroppedExceptionMayDoAnythingInWhat) {
  struct talkative : std::exception {
    [[nodiscard]] const char* what() const noexcept override {
      baton::this_fiber::yield();
      return "I looked around";
    }
  };
  testing::internal::CaptureStderr();
  baton::run([] {
    task_group g;
    g.spawn([] { throw talkative(); });
  });
  EXPECT_NE(testing::internal::GetCapturedStderr().find("I looked around"), std::string::npos);
}

TEST(TaskGroupDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(baton::run([] {
                 baton::this_fiber::set_name("careless");
                 task_group g;
                 g.set_limit(0);
               }),
               "fiber [0-9]+ \"careless\".*task_group: a limit of 0");
}

}  // namespace
