// async() and packaged_task, in fibers and on plain threads.
#include "future_checks.h"
#include "parked.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/fiber_local.h>
#include <baton/runtime/future.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::on_both;
using baton::test::watched_agent;

TEST(Async, RunsInAFiberOfItsOwn) {
  on_both([] {
    const auto here = baton::this_fiber::id();
    const auto there = [] { return baton::this_fiber::id(); };
    for (auto f : {baton::async(there).share(), baton::async(std::launch::async, there).share(),
                   baton::async(std::launch::async | std::launch::deferred, there).share()}) {
      EXPECT_TRUE(f.get());
      EXPECT_NE(f.get(), here);
    }
  });
}

TEST(Async, ReturnsValuesReferencesAndVoid) {
  on_both([] {
    EXPECT_EQ(baton::async([](int a, const std::string& b) { return std::to_string(a) + b; }, 1, "x").get(), "1x");
    int i = 4;
    baton::future<int&> r = baton::async([](int& j) -> int& { return ++j; }, std::ref(i));
    EXPECT_EQ(&r.get(), &i);
    EXPECT_EQ(i, 5);
    baton::future<void> v = baton::async(
        std::launch::deferred, [&i](std::unique_ptr<int> p) { i = *p; }, std::make_unique<int>(9));
    v.get();
    EXPECT_EQ(i, 9);
    struct s {
      int times(int n) const { return n * m; }
      int m;
    };
    EXPECT_EQ(baton::async(&s::times, s{3}, 4).get(), 12);
    EXPECT_EQ(baton::async([b = std::make_unique<int>(2)] { return *b; }).get(), 2);
  });
}

TEST(Async, KeepsTheException) {
  on_both([] {
    for (const auto policy : {std::launch::async, std::launch::deferred}) {
      auto f = baton::async(policy, []() -> int { throw std::runtime_error("no"); });
      f.wait();
      EXPECT_TRUE(f.valid());
      EXPECT_THROW(f.get(), std::runtime_error);
    }
  });
}

TEST(Async, ACopyThatThrowsThrowsHereAndRunsNothing) {
  struct bad {
    bad() = default;
    bad(const bad&) { throw std::runtime_error("copy"); }
    void operator()() const { ADD_FAILURE(); }
  };
  const bad b;
  EXPECT_THROW(static_cast<void>(baton::async(b)), std::runtime_error);
  EXPECT_THROW(static_cast<void>(baton::async(std::launch::deferred, b)), std::runtime_error);
  EXPECT_THROW(static_cast<void>(baton::async([](const bad&) {}, b)), std::runtime_error);
}

TEST(Async, ADeferredFunctionRunsInTheFirstWaiter) {
  on_both([] {
    int calls = 0;
    const auto here = baton::this_fiber::id();
    auto f = baton::async(std::launch::deferred, [&] {
      ++calls;
      EXPECT_EQ(baton::this_fiber::id(), here);
      return calls;
    });
    EXPECT_EQ(f.wait_for(0s), std::future_status::deferred);
    EXPECT_EQ(f.wait_until(std::chrono::system_clock::now() + 1h), std::future_status::deferred);
    EXPECT_FALSE(f.is_ready());
    EXPECT_EQ(calls, 0);
    f.wait();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(f.wait_for(0s), std::future_status::ready);
    EXPECT_EQ(f.get(), 1);
    {
      const auto dropped = baton::async(std::launch::deferred, [&] { ++calls; });
    }
    EXPECT_EQ(calls, 1) << "nobody waited";
  });
}

TEST(Async, ADeferredFunctionRunsOnceForAllCopies) {
  baton::run([] {
    baton::event go_on;
    std::atomic<int> calls{0};
    const auto all = baton::async(std::launch::deferred, [&] {
                       ++calls;
                       go_on.wait();
                       return 3;
                     }).share();
    watched_agent first;
    auto a = baton::spawn([&, all] {
      first.about_to_wait();
      return all.get();
    });
    first.await_parked();
    EXPECT_EQ(all.wait_for(0s), std::future_status::timeout) << "it has begun";
    watched_agent second;
    auto b = baton::spawn([&, all] {
      second.about_to_wait();
      return all.get();
    });
    second.await_parked();
    go_on.set();
    EXPECT_EQ(a.join() + b.join(), 6);
    EXPECT_EQ(calls, 1);
  });
}

// A function cannot outlive what it uses because its future was dropped.
TEST(Async, TheLastFutureWaitsForTheFunction) {
  on_both([] {
    for (int round = 0; round < 50; ++round) {
      std::atomic<bool> ended{false};
      {
        auto f = baton::async([&] {
          for (int i = 0; i < 3; ++i) baton::this_fiber::yield();
          ended = true;
        });
        if (round % 3 == 1) {
          const auto copies = std::vector<baton::shared_future<void>>(3, f.share());
        } else if (round % 3 == 2) {
          f = {};
        }
      }
      EXPECT_TRUE(ended);
    }
  });
}

struct counted {
  explicit counted(std::atomic<int>& n) : count(&n) { ++*count; }
  counted(const counted& other) : count(other.count) { ++*count; }
  counted& operator=(const counted&) = delete;
  ~counted() { --*count; }
  std::atomic<int>* count;
};

TEST(Async, WhatItUsesIsGoneWhenItIsReady) {
  static std::atomic<int> locals{0};
  static baton::fiber_local<std::optional<counted>> local;
  std::atomic<int> copies{0};
  for (int round = 0; round < 100; ++round) {
    auto f = baton::async([c = counted(copies)](const counted&) { local->emplace(locals); }, counted(copies));
    f.wait();
    EXPECT_EQ(copies, 0);
    EXPECT_EQ(locals, 0);
    auto d = baton::async(std::launch::deferred, [c = counted(copies)] {});
    EXPECT_EQ(copies, 1);
    d.wait();
    EXPECT_EQ(copies, 0);
  }
}

TEST(Async, ManyAtOnce) {
  baton::run([] {
    std::vector<baton::future<int>> all;
    for (int i = 0; i < 1000; ++i) all.push_back(baton::async([i] { return i; }));
    int sum = 0;
    for (auto& f : all) sum += f.get();
    EXPECT_EQ(sum, 499500);
  });
}

TEST(PackagedTask, PutsResultsIntoTheFuture) {
  on_both([] {
    baton::packaged_task<int(int, int)> add([](int a, int b) { return a + b; });
    EXPECT_TRUE(add.valid());
    auto f = add.get_future();
    EXPECT_FALSE(f.is_ready());
    add(3, 4);
    EXPECT_EQ(f.get(), 7);
    int i = 0;
    baton::packaged_task<int&(int&)> same([](int& j) -> int& { return j; });
    auto fr = same.get_future();
    same(i);
    EXPECT_EQ(&fr.get(), &i);
    baton::packaged_task<void()> drops([&] { return ++i; });
    auto fv = drops.get_future();
    drops();
    fv.get();
    EXPECT_EQ(i, 1);
    baton::packaged_task<void(std::unique_ptr<int>)> takes([&](std::unique_ptr<int> p) { i = *p; });
    takes(std::make_unique<int>(6));
    EXPECT_EQ(i, 6);
    baton::packaged_task<int()> fails([]() -> int { throw std::runtime_error("no"); });
    auto fe = fails.get_future();
    fails();
    EXPECT_THROW(fe.get(), std::runtime_error);
  });
}

TEST(PackagedTask, IsMovedAndRunElsewhere) {
  baton::run([] {
    baton::packaged_task<int()> task([box = std::make_unique<int>(5)] { return *box; });
    auto f = task.get_future();
    baton::packaged_task<int()> other;
    other = std::move(task);
    EXPECT_FALSE(task.valid());  // NOLINT(bugprone-use-after-move): what is tested
    swap(task, other);
    baton::go(std::move(task));
    EXPECT_EQ(f.get(), 5);
  });
}

TEST(PackagedTask, WithoutAStateThrows) {
  baton::packaged_task<void()> t;
  EXPECT_FALSE(t.valid());
  EXPECT_FUTURE_ERROR(t(), no_state);
  EXPECT_FUTURE_ERROR(t.reset(), no_state);
  EXPECT_FUTURE_ERROR((void)t.get_future(), no_state);
}

TEST(PackagedTask, RunsOnceUntilItIsReset) {
  int calls = 0;
  baton::packaged_task<int()> t([&] { return ++calls; });
  auto f = t.get_future();
  EXPECT_FUTURE_ERROR((void)t.get_future(), future_already_retrieved);
  t();
  EXPECT_FUTURE_ERROR(t(), promise_already_satisfied);
  EXPECT_EQ(calls, 1);
  t.reset();
  auto g = t.get_future();
  EXPECT_EQ(f.get(), 1);
  t.reset();
  EXPECT_FUTURE_ERROR(g.get(), broken_promise);
  f = t.get_future();
  t();
  EXPECT_EQ(f.get(), 2);
}

TEST(PackagedTask, IsBrokenAtItsEndAndLeavesNothingBehind) {
  std::atomic<int> copies{0};
  baton::future<void> f;
  {
    baton::packaged_task<void()> t([c = counted(copies)] {});
    f = t.get_future();
    EXPECT_EQ(copies, 1);
  }
  EXPECT_EQ(copies, 0);
  EXPECT_FUTURE_ERROR(f.get(), broken_promise);
}

int twice(int n) { return 2 * n; }

TEST(PackagedTask, DeducesItsSignature) {
  baton::packaged_task a(&twice);
  static_assert(std::is_same_v<decltype(a), baton::packaged_task<int(int)>>);
  baton::packaged_task b([](const std::string& s) noexcept { return s.size(); });
  static_assert(std::is_same_v<decltype(b), baton::packaged_task<std::size_t(const std::string&)>>);
  baton::packaged_task c([n = 0]() mutable { ++n; });
  static_assert(std::is_same_v<decltype(c), baton::packaged_task<void()>>);
  auto f = a.get_future();
  a(4);
  EXPECT_EQ(f.get(), 8);
}

}  // namespace
