#include <baton/runtime/event.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

class RunDeathTest : public testing::Test {
 protected:
  RunDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST(Run, ReturnsWhatMainReturns) {
  EXPECT_EQ(7, baton::run([] { return 7; }));
  EXPECT_EQ(-1, baton::run([] { return -1L; }));
  EXPECT_EQ(1, baton::run([] { return true; }));
  EXPECT_EQ(0, baton::run([] {}));
}

TEST(Run, RethrowsWhatMainThrows) {
  try {
    baton::run([]() -> int { throw std::runtime_error("out of run"); });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ("out of run", e.what());
  }
  EXPECT_EQ(3, baton::run([] { return 3; }));
}

TEST(Run, MainIsAFiberOfAnotherThread) {
  const std::thread::id here = std::this_thread::get_id();
  EXPECT_FALSE(baton::this_fiber::on_fiber());
  EXPECT_FALSE(baton::this_fiber::id());
  baton::run([&] {
    EXPECT_TRUE(baton::this_fiber::on_fiber());
    EXPECT_TRUE(baton::this_fiber::id());
    EXPECT_NE(here, std::this_thread::get_id());
  });
}

TEST(Run, TakesMainsThatCanBeNeitherCopiedNorMoved) {
  struct pinned {
    pinned() = default;
    pinned(const pinned&) = delete;
    pinned& operator=(const pinned&) = delete;
    int operator()() { return ++calls; }
    int calls = 0;
  } main_function;
  EXPECT_EQ(1, baton::run(main_function));
  EXPECT_EQ(2, baton::run(main_function));
  EXPECT_EQ(2, main_function.calls);
}

TEST(Run, FibersGoOnAfterItAndIntoTheNext) {
  baton::event go_on;
  baton::event done;
  baton::run([&] {
    baton::go([&] {
      go_on.wait();
      done.set();
    });
  });
  baton::run([&] { go_on.set(); });
  done.wait();  // on a plain thread
}

TEST(Run, WorksFromSeveralThreadsAtOnce) {
  constexpr int threads = 8;
  std::vector<int> got(threads);
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < threads; ++i) {
      callers.emplace_back([i, &got] {
        for (int round = 0; round < 20; ++round) {
          got[static_cast<std::size_t>(i)] += baton::run([i] {
            baton::this_fiber::yield();
            return baton::spawn([i] { return i; }).join();
          });
        }
      });
    }
  }
  for (int i = 0; i < threads; ++i) EXPECT_EQ(20 * i, got[static_cast<std::size_t>(i)]);
}

TEST(Run, AllCallersMeetInside) {
  baton::event a;
  baton::event b;
  std::jthread other([&] {
    baton::run([&] {
      a.set();
      b.wait();
    });
  });
  baton::run([&] {
    a.wait();
    b.set();
  });
}

TEST(Run, OptionsSetProcs) {
  const int before = baton::procs();
  baton::run([] { EXPECT_EQ(3, baton::procs()); }, {.procs = 3});
  EXPECT_EQ(3, baton::procs());
  EXPECT_EQ(3, baton::set_procs(2));
  EXPECT_EQ(2, baton::procs());
  baton::run([] { EXPECT_EQ(2, baton::procs()); });
  EXPECT_EQ(2, baton::set_procs(0)) << "less than 1 changes nothing";
  EXPECT_EQ(2, baton::set_procs(before));
  EXPECT_EQ(before, baton::procs());
}

TEST(Run, MaxThreadsIsLive) {
  const int before = baton::set_max_threads(500);
  EXPECT_EQ(500, baton::set_max_threads(0)) << "no number of threads: nothing changes";
  EXPECT_EQ(500, baton::set_max_threads(before));
}

TEST_F(RunDeathTest, InsideAFiberIsRefused) {
  EXPECT_DEATH(baton::run([] { baton::run([] {}); }), "fiber [0-9]+ \"main\".*run\\(\\) called from a fiber");
}

TEST_F(RunDeathTest, ExitInsideMainEndsTheProcess) {
  EXPECT_EXIT(baton::run([] { std::exit(5); }), testing::ExitedWithCode(5), "");
}

TEST_F(RunDeathTest, ExitStopsTheFibersBeforeStaticDestructors) {
  EXPECT_EXIT(
      {
        baton::run([] {
          for (int i = 0; i < 10; ++i) {
            baton::go([] {
              for (;;) baton::this_fiber::yield();
            });
          }
        });
        // Made after the start of the runtime, so it is destroyed before the exit handler that was registered first.
        static std::vector<std::string> late(1000, std::string(100, 'x'));
        std::exit(static_cast<int>(late.size()) == 1000 ? 4 : 5);
      },
      testing::ExitedWithCode(4), "");
}

}  // namespace
