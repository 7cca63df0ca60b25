// when_all() and when_any() over packs and ranges of futures.
#include <baton/runtime/when_all.h>

#include "future_checks.h"
#include "parked.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/future.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::on_both;
using baton::test::watched_agent;

TEST(WhenAll, OfAPackIsReadyWhenTheLastIs) {
  on_both([] {
    baton::promise<int> a;
    baton::promise<void> b;
    const baton::shared_future<void> shared = b.get_future();
    auto all = baton::when_all(a.get_future(), shared, baton::async([] { return std::string("c"); }));
    b.set_value();
    EXPECT_EQ(all.wait_for(1ms), std::future_status::timeout);
    a.set_value(1);
    auto [x, y, z] = all.get();
    EXPECT_TRUE(x.is_ready() && y.is_ready() && z.is_ready());
    EXPECT_EQ(x.get(), 1);
    EXPECT_EQ(z.get(), "c");
    EXPECT_TRUE(shared.valid());
  });
}

TEST(WhenAll, OfARangeKeepsTheOrder) {
  on_both([] {
    std::vector<baton::promise<int>> promises(10);
    std::list<baton::future<int>> futures;
    for (auto& p : promises) futures.push_back(p.get_future());
    auto all = baton::when_all(futures);
    for (const auto& f : futures) EXPECT_FALSE(f.valid());
    for (int i = 9; i >= 0; --i) {
      EXPECT_FALSE(all.is_ready());
      promises[static_cast<std::size_t>(i)].set_value(i);
    }
    std::vector<baton::future<int>> ready = all.get();
    for (int i = 0; i < 10; ++i) EXPECT_EQ(ready[static_cast<std::size_t>(i)].get(), i);
  });
}

TEST(WhenAll, OfNothingIsReady) {
  EXPECT_EQ(baton::when_all().get(), std::tuple<>());
  std::vector<baton::future<int>> none;
  EXPECT_TRUE(baton::when_all(none.begin(), none.end()).get().empty());
  EXPECT_EQ(baton::when_any(none).get().index, SIZE_MAX);
  EXPECT_EQ(baton::when_any().get().index, SIZE_MAX);
}

TEST(WhenAll, LeavesExceptionsInTheirFutures) {
  on_both([] {
    std::optional<baton::promise<int>> broken(std::in_place);
    auto all = baton::when_all(baton::async([]() -> int { throw std::runtime_error("no"); }), broken->get_future());
    broken.reset();
    auto [a, b] = all.get();
    EXPECT_THROW(a.get(), std::runtime_error);
    EXPECT_THROW(b.get(), std::future_error);
  });
}

TEST(WhenAll, RunsDeferredFunctionsItself) {
  on_both([] {
    int calls = 0;
    auto deferred = [&] { return baton::async(std::launch::deferred, [&] { return ++calls; }); };
    auto all = baton::when_all(deferred(), deferred());
    EXPECT_EQ(calls, 2);
    EXPECT_TRUE(all.is_ready());
    baton::promise<int> never;
    auto any = baton::when_any(never.get_future(), deferred(), deferred());
    EXPECT_EQ(calls, 3);
    auto first = any.get();
    EXPECT_EQ(first.index, 1U);
    EXPECT_EQ(std::get<2>(first.futures).wait_for(0s), std::future_status::deferred);
  });
}

TEST(WhenAll, AFutureWithoutAStateThrowsAndMovesNothing) {
  baton::promise<int> p;
  std::vector<baton::future<int>> futures(2);
  futures[0] = p.get_future();
  EXPECT_THROW(static_cast<void>(baton::when_all(futures)), std::future_error);
  EXPECT_THROW(static_cast<void>(baton::when_any(std::move(futures[0]), baton::future<int>())), std::future_error);
  EXPECT_TRUE(futures[0].valid());
}

TEST(WhenAny, NamesTheFirst) {
  on_both([] {
    std::vector<baton::promise<int>> promises(5);
    std::vector<baton::future<int>> futures;
    for (auto& p : promises) futures.push_back(p.get_future());
    auto any = baton::when_any(futures.begin(), futures.end());
    EXPECT_FALSE(any.is_ready());
    promises[3].set_value(30);
    promises[1].set_value(10);
    auto first = any.get();
    EXPECT_EQ(first.index, 3U);
    EXPECT_EQ(first.futures[3].get(), 30);
    EXPECT_EQ(first.futures[1].get(), 10);
    EXPECT_FALSE(first.futures[0].is_ready());
    promises[0].set_value(0);
    EXPECT_EQ(first.futures[0].get(), 0) << "the rest can be waited for";
  });
}

TEST(WhenAny, OfSeveralThatAreReadyNamesTheFirstInOrder) {
  baton::promise<int> a;
  baton::promise<std::string> b;
  a.set_value(1);
  b.set_value("x");
  baton::promise<void> never;
  EXPECT_EQ(baton::when_any(never.get_future(), b.get_future(), a.get_future()).get().index, 1U);
}

TEST(WhenAny, WakesItsWaiter) {
  baton::run([] {
    baton::promise<int> a;
    baton::promise<int> b;
    watched_agent waiter;
    auto fiber = baton::spawn([&, any = baton::when_any(a.get_future(), b.get_future())]() mutable {
      waiter.about_to_wait();
      return any.get().index;
    });
    waiter.await_parked();
    b.set_value(1);
    EXPECT_EQ(fiber.join(), 1U);
  });
}

// The futures that did not come first hold nothing of the result any more; so many results may use one of them.
TEST(WhenAny, MayBeAskedForALongFutureAgainAndAgain) {
  baton::promise<void> end;
  const baton::shared_future<void> ends = end.get_future();
  for (int i = 0; i < 1000; ++i) {
    baton::promise<int> p;
    auto any = baton::when_any(ends, p.get_future());
    p.set_value(i);
    EXPECT_EQ(any.get().index, 1U);
  }
  for (int i = 0; i < 1000; ++i) static_cast<void>(baton::when_any(ends));
  end.set_value();
  EXPECT_EQ(baton::when_any(ends).get().index, 0U);
}

TEST(WhenAll, Nests) {
  on_both([] {
    std::vector<baton::promise<int>> promises(4);
    auto inner = baton::when_all(promises[0].get_future(), promises[1].get_future());
    auto any = baton::when_any(promises[2].get_future(), promises[3].get_future());
    auto outer = baton::when_all(std::move(inner), std::move(any));
    for (auto& p : promises) p.set_value(1);
    auto [a, b] = outer.get();
    EXPECT_EQ(std::get<1>(a.get()).get(), 1);
    EXPECT_EQ(b.get().index, 0U);
  });
}

TEST(WhenAll, ADroppedResultWaitsForTheFunctionsOfItsFutures) {
  on_both([] {
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> ended{0};
      const auto work = [&] {
        baton::this_fiber::yield();
        ++ended;
      };
      {
        const auto all = baton::when_all(baton::async(work), baton::async(work));
        const auto any = baton::when_any(baton::async(work), baton::async(work));
      }
      EXPECT_EQ(ended, 4);
    }
  });
}

// The agent that sets a value must not wait for the end of a function, although it would be the last to know of it.
TEST(WhenAny, ADroppedResultLeavesNothingToTheSetter) {
  baton::run([] {
    baton::promise<void> p;
    baton::event go_on;
    watched_agent dropper;
    auto fiber = baton::spawn([&] {
      auto any = baton::when_any(p.get_future(), baton::async([&] { go_on.wait(); }));
      dropper.about_to_wait();
    });
    dropper.await_parked();
    p.set_value();
    go_on.set();
    fiber.join();
  });
}

TEST(WhenAny, SettersRaceWithTheDropAndWithEachOther) {
  baton::run([] {
    for (int round = 0; round < 400; ++round) {
      constexpr int n = 4;
      std::vector<baton::promise<int>> promises(n);
      std::vector<baton::future<int>> futures;
      std::vector<baton::fiber<void>> fibers;
      for (auto& p : promises) futures.push_back(p.get_future());
      for (auto& p : promises) fibers.push_back(baton::spawn([&p] { p.set_value(1); }));
      if (round % 4 == 0) {
        auto any = baton::when_any(futures);
        auto first = any.get();
        ASSERT_LT(first.index, std::size_t{n});
        EXPECT_EQ(first.futures[first.index].get(), 1);
      } else if (round % 4 == 1) {
        auto all = baton::when_all(futures);
        for (auto& f : all.get()) EXPECT_EQ(f.get(), 1);
      } else if (round % 4 == 2) {
        const auto any = baton::when_any(futures);
        baton::this_fiber::yield();
      } else {
        const auto all = baton::when_all(futures);
        baton::this_fiber::yield();
      }
      for (auto& f : fibers) f.join();
    }
  });
}

}  // namespace
