#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

TEST(ThisFiber, YieldLetsTheOthersHaveTheirTurn) {
  if (baton::procs() != 1) GTEST_SKIP() << "there is an order with one P only";
  baton::run([] {
    std::vector<int> order;
    auto count = [&](int base) {
      for (int i = 0; i < 3; ++i) {
        order.push_back(base + i);
        baton::this_fiber::yield();
      }
    };
    auto a = baton::spawn(count, 0);
    auto b = baton::spawn(count, 10);
    a.join();
    b.join();
    ASSERT_EQ(6U, order.size());
    // Whichever begins, they take turns.
    for (std::size_t i = 1; i < order.size(); ++i) EXPECT_NE(order[i] / 10, order[i - 1] / 10) << i;
  });
}

TEST(ThisFiber, YieldWithNobodyElseReturns) {
  baton::run([] {
    for (int i = 0; i < 100'000; ++i) baton::this_fiber::yield();
  });
}

TEST(ThisFiber, YieldAndSleepWorkOnPlainThreads) {
  baton::this_fiber::yield();
  const auto before = steady::now();
  baton::this_fiber::sleep_for(2ms);
  EXPECT_GE(steady::now() - before, 2ms);
  baton::this_fiber::set_name("not a fiber");
}

TEST(ThisFiber, SleepsAtLeastAsLongAsAsked) {
  baton::run([] {
    for (const auto time : {0us, 1us, 300us, 2500us}) {
      const auto before = steady::now();
      baton::this_fiber::sleep_for(time);
      EXPECT_GE(steady::now() - before, time);
    }
    const auto before = steady::now();
    baton::this_fiber::sleep_for(std::chrono::duration<double, std::milli>(1.5));
    EXPECT_GE(steady::now() - before, 1500us);
    baton::this_fiber::sleep_for(-1h);
    baton::this_fiber::sleep_for(std::chrono::hours::min());
    baton::this_fiber::sleep_until(steady::time_point::min());
  });
}

TEST(ThisFiber, SleepUntilTakesAnyClock) {
  baton::run([] {
    const auto steady_end = steady::now() + 2ms;
    baton::this_fiber::sleep_until(steady_end);
    EXPECT_GE(steady::now(), steady_end);
    const auto wall_end = std::chrono::system_clock::now() + 2ms;
    baton::this_fiber::sleep_until(wall_end);
    // The wall clock may be slewed a little meanwhile.
    EXPECT_GE(std::chrono::system_clock::now(), wall_end - 1ms);
  });
}

TEST(ThisFiber, SleepersWakeInTheOrderOfTheirDeadlines) {
  if (baton::procs() != 1) GTEST_SKIP() << "there is an order with one P only";
  baton::run([] {
    std::vector<int> order;
    std::vector<baton::fiber<void>> sleepers;
    const auto start = steady::now() + 5ms;
    for (const int ms : {9, 3, 6, 1}) {
      sleepers.push_back(baton::spawn([&order, start, ms] {
        baton::this_fiber::sleep_until(start + std::chrono::milliseconds(ms));
        order.push_back(ms);
      }));
    }
    for (auto& s : sleepers) s.join();
    // A batch that is due at once runs in this order, too.
    EXPECT_EQ((std::vector<int>{1, 3, 6, 9}), order);
  });
}

TEST(ThisFiber, ThousandSleepersSleepAtTheSameTime) {
  baton::run([] {
    std::vector<baton::fiber<bool>> sleepers;
    for (int i = 0; i < 1000; ++i) {
      sleepers.push_back(baton::spawn([] {
        const auto before = steady::now();
        baton::this_fiber::sleep_for(20ms);
        return steady::now() - before >= 20ms;
      }));
    }
    for (auto& s : sleepers) EXPECT_TRUE(s.join());
  });
}

TEST(ThisFiber, IdsAreUniqueAndStay) {
  baton::run([] {
    std::unordered_set<baton::fiber_id> ids;
    for (int i = 0; i < 1000; ++i) {
      auto f = baton::spawn([] {
        const baton::fiber_id before = baton::this_fiber::id();
        baton::this_fiber::yield();
        EXPECT_EQ(before, baton::this_fiber::id());
        return before;
      });
      const baton::fiber_id from_outside = f.id();
      const baton::fiber_id from_inside = f.join();
      EXPECT_EQ(from_inside, from_outside);
      EXPECT_TRUE(ids.insert(from_inside).second);
    }
  });
}

TEST(ThisFiber, IdIsAValue) {
  const baton::fiber_id none;
  const baton::fiber_id five(5);
  EXPECT_FALSE(none);
  EXPECT_TRUE(five);
  EXPECT_LT(none, five);
  EXPECT_NE(none, five);
  EXPECT_EQ(five, baton::fiber_id(5));
  EXPECT_EQ("5", to_string(five));
  EXPECT_EQ("none", to_string(none));
  std::ostringstream out;
  out << five;
  EXPECT_EQ("5", out.str());
}

TEST(ThisFiber, NamesAreShownInDumpsAndCut) {
  std::FILE* const dump = std::tmpfile();
  ASSERT_NE(nullptr, dump);
  baton::run([&] {
    baton::this_fiber::set_name("a-name-that-is-longer-than-a-fiber-can-keep");
    baton::dump_fibers(fileno(dump));
  });
  std::rewind(dump);
  std::string text(100'000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), dump));
  std::fclose(dump);
  EXPECT_NE(std::string::npos, text.find("a-name-that-is-longer-t")) << text;
  EXPECT_EQ(std::string::npos, text.find("a-name-that-is-longer-tha")) << text;
}

}  // namespace
