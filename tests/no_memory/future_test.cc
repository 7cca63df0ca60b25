// Futures: each call that gets no memory says so, and what was promised is as before.
#include "failing_allocations.h"

#include <baton/baton.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace baton::test {
namespace {

using namespace std::chrono_literals;

// In a fiber, and on a plain thread.
void on_both(const std::function<void(failing_allocation&)>& attempt, whose owner = whose::caller) {
  run([&] { fail_each_allocation(attempt, owner); });
  fail_each_allocation(attempt, owner);
}

TEST(FuturesWithoutMemory, APromiseIsMadeAndSet) {
  const std::string text(100, 'x');
  on_both([&text](failing_allocation& fails) {
    bool set = false;
    std::unique_ptr<promise<std::string>> p;
    std::optional<future<std::string>> f;
    const bool threw = fails.during([&] {
      p = std::make_unique<promise<std::string>>();
      f = p->get_future();
      p->set_value(text);
      set = true;
    });
    EXPECT_EQ(threw, !set);
    if (!p || !f) return;
    if (!set) {
      EXPECT_FALSE(f->is_ready());
      p->set_value(text);
    }
    EXPECT_EQ(f->get(), text);
  });
}

TEST(FuturesWithoutMemory, APromiseIsBrokenAndWaitsEnd) {
  on_both([](failing_allocation& fails) {
    std::optional<promise<int>> p(std::in_place);
    auto f = p->get_future();
    EXPECT_FALSE(fails.during([&] {
      EXPECT_EQ(f.wait_for(100us), std::future_status::timeout);
      p.reset();
      f.wait();
    }));
    EXPECT_THROW(f.get(), std::future_error);
  });
}

TEST(FuturesWithoutMemory, AFunctionRunsOrDoesNot) {
  on_both(
      [](failing_allocation& fails) {
        std::atomic<int> ran{0};
        int expected = 0;
        static_cast<void>(fails.during([&] {
          auto a = async([&ran, s = std::string(100, 'x')] { ++ran; });
          ++expected;
          auto d = async(std::launch::deferred, [&ran, s = std::string(100, 'x')] { ++ran; });
          d.wait();
          ++expected;
          packaged_task<void()> t([&ran, s = std::string(100, 'x')] { ++ran; });
          t();
          ++expected;
          t.reset();
          t();
          ++expected;
        }));
        EXPECT_EQ(ran, expected);
      },
      whose::everybody);
}

TEST(FuturesWithoutMemory, FuturesThatAreNotCombinedAreAsBefore) {
  on_both([](failing_allocation& fails) {
    std::vector<promise<int>> promises(3);
    std::vector<future<int>> futures;
    for (auto& p : promises) futures.push_back(p.get_future());
    promise<void> q;
    auto single = q.get_future();
    std::optional<future<std::vector<future<int>>>> all;
    std::optional<future<when_any_result<std::tuple<future<void>>>>> any;
    const bool threw = fails.during([&] {
      all = when_all(futures);
      any = when_any(std::move(single));
    });
    EXPECT_EQ(threw, !any);
    for (const auto& f : futures) EXPECT_EQ(f.valid(), !all);
    EXPECT_EQ(single.valid(), !any);
    failing_allocation none(1, failing_allocation::which::all_from, whose::caller);
    EXPECT_FALSE(none.during([&] {
      for (auto& p : promises) p.set_value(1);
      q.set_value();
    }));
    if (all) {
      EXPECT_EQ(all->get().size(), 3U);
    }
    if (any) {
      EXPECT_EQ(any->get().index, 0U);
    }
  });
}

}  // namespace
}  // namespace baton::test
