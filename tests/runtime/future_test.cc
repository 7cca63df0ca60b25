// promise, future and shared_future: what std's suites check of the namesakes, in fibers and on plain threads.
#include <baton/runtime/future.h>

#include "future_checks.h"
#include "parked.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::on_both;
using baton::test::watched_agent;
using clock = std::chrono::steady_clock;

static_assert(std::is_nothrow_move_constructible_v<baton::future<int>>);
static_assert(std::is_nothrow_move_assignable_v<baton::future<int>>);
static_assert(!std::is_copy_constructible_v<baton::future<int>> && !std::is_copy_assignable_v<baton::future<int>>);
static_assert(!std::is_copy_constructible_v<baton::promise<int>> && !std::is_copy_assignable_v<baton::promise<int>>);
static_assert(std::is_nothrow_move_constructible_v<baton::promise<int>>);
static_assert(std::is_nothrow_copy_constructible_v<baton::shared_future<int>>);
static_assert(std::is_same_v<decltype(std::declval<const baton::shared_future<int>&>().get()), const int&>);
static_assert(std::is_same_v<decltype(std::declval<const baton::shared_future<int&>&>().get()), int&>);
static_assert(std::is_void_v<decltype(std::declval<const baton::shared_future<void>&>().get())>);
static_assert(std::is_same_v<decltype(std::declval<baton::future<int&>&>().get()), int&>);
static_assert(std::uses_allocator_v<baton::promise<int>, std::allocator<char>>);

TEST(Future, GetsWhatThePromiseSets) {
  on_both([] {
    baton::promise<std::string> p;
    auto f = p.get_future();
    EXPECT_TRUE(f.valid());
    EXPECT_FALSE(f.is_ready());
    EXPECT_EQ(f.wait_for(0s), std::future_status::timeout);
    p.set_value("value");
    EXPECT_TRUE(f.is_ready());
    f.wait();
    EXPECT_EQ(f.wait_for(0s), std::future_status::ready);
    EXPECT_EQ(f.wait_until(clock::now() - 1h), std::future_status::ready);
    EXPECT_TRUE(f.valid());
    EXPECT_EQ(f.get(), "value");
    EXPECT_FALSE(f.valid());
  });
}

TEST(Future, GetsReferencesVoidAndMoveOnlyValues) {
  on_both([] {
    int i = 3;
    baton::promise<int&> reference;
    auto fr = reference.get_future();
    reference.set_value(i);
    EXPECT_EQ(&fr.get(), &i);
    baton::promise<void> nothing;
    auto fv = nothing.get_future();
    nothing.set_value();
    fv.get();
    EXPECT_FALSE(fv.valid());
    baton::promise<std::unique_ptr<int>> box;
    auto fb = box.get_future();
    box.set_value(std::make_unique<int>(7));
    EXPECT_EQ(*fb.get(), 7);
    baton::promise<const int> constant;
    auto fc = constant.get_future();
    constant.set_value(8);
    EXPECT_EQ(fc.get(), 8);
    struct alignas(64) wide {
      int i;
    };
    baton::promise<wide> w;
    auto fw = w.get_future();
    w.set_value({9});
    EXPECT_EQ(fw.get().i, 9);
  });
}

TEST(Future, GetsTheException) {
  on_both([] {
    baton::promise<int> p;
    auto f = p.get_future();
    p.set_exception(std::make_exception_ptr(std::runtime_error("no")));
    f.wait();
    EXPECT_THROW(f.get(), std::runtime_error);
    EXPECT_FALSE(f.valid());
    baton::promise<int&> r;
    auto fr = r.get_future();
    r.set_exception(std::make_exception_ptr(3));
    EXPECT_THROW(fr.get(), int);
    baton::promise<void> v;
    auto fv = v.get_future();
    v.set_exception(std::make_exception_ptr(3));
    EXPECT_THROW(fv.get(), int);
  });
}

TEST(Future, WithoutAStateThrows) {
  baton::future<int> f;
  EXPECT_FALSE(f.valid());
  EXPECT_FUTURE_ERROR(f.get(), no_state);
  EXPECT_FUTURE_ERROR(f.wait(), no_state);
  EXPECT_FUTURE_ERROR((void)f.wait_for(0s), no_state);
  EXPECT_FUTURE_ERROR((void)f.wait_until(clock::now()), no_state);
  EXPECT_FUTURE_ERROR((void)f.is_ready(), no_state);
  const baton::shared_future<int> s;
  EXPECT_FUTURE_ERROR((void)s.get(), no_state);
  EXPECT_FALSE(f.share().valid());

  baton::promise<int> p;
  f = p.get_future();
  p.set_value(1);
  EXPECT_EQ(f.get(), 1);
  EXPECT_FUTURE_ERROR(f.get(), no_state);

  baton::promise<int> to = std::move(p);
  EXPECT_FUTURE_ERROR((void)p.get_future(), no_state);  // NOLINT(bugprone-use-after-move): what is tested
  EXPECT_FUTURE_ERROR(p.set_value(1), no_state);
  EXPECT_FUTURE_ERROR(p.set_exception(std::make_exception_ptr(1)), no_state);
  EXPECT_FUTURE_ERROR((void)to.get_future(), future_already_retrieved);
}

TEST(Future, MovesLeaveNothingBehind) {
  baton::promise<int> p;
  auto f = p.get_future();
  baton::future<int> g = std::move(f);
  EXPECT_FALSE(f.valid());  // NOLINT(bugprone-use-after-move): what is tested
  EXPECT_TRUE(g.valid());
  f = std::move(g);
  EXPECT_FALSE(g.valid());  // NOLINT(bugprone-use-after-move): what is tested
  baton::promise<int> q;
  auto h = q.get_future();
  swap(p, q);
  p.set_value(1);
  q.set_value(2);
  EXPECT_EQ(h.get(), 1);
  EXPECT_EQ(f.get(), 2);
}

TEST(Promise, SetsOnceAndHasOneFuture) {
  baton::promise<int> p;
  auto f = p.get_future();
  EXPECT_FUTURE_ERROR((void)p.get_future(), future_already_retrieved);
  p.set_value(1);
  EXPECT_FUTURE_ERROR(p.set_value(2), promise_already_satisfied);
  EXPECT_FUTURE_ERROR(p.set_exception(std::make_exception_ptr(1)), promise_already_satisfied);
  EXPECT_EQ(f.get(), 1);
  baton::promise<int> q;
  q.set_exception(std::make_exception_ptr(1));
  EXPECT_FUTURE_ERROR(q.set_value(2), promise_already_satisfied);
  EXPECT_THROW(q.get_future().get(), int);
}

TEST(Promise, WithoutAResultIsBrokenAtItsEnd) {
  on_both([] {
    baton::future<int> f;
    baton::shared_future<void> s;
    {
      baton::promise<int> p;
      f = p.get_future();
      baton::promise<void> q;
      s = q.get_future();
    }
    EXPECT_TRUE(f.is_ready());
    EXPECT_FUTURE_ERROR(f.get(), broken_promise);
    EXPECT_FALSE(f.valid());
    EXPECT_FUTURE_ERROR(s.get(), broken_promise);
    EXPECT_FUTURE_ERROR(s.get(), broken_promise);
    baton::promise<int> p;
    f = p.get_future();
    p = baton::promise<int>();
    EXPECT_FUTURE_ERROR(f.get(), broken_promise);
    f = p.get_future();
    p.set_value(4);
    p = baton::promise<int>();
    EXPECT_EQ(f.get(), 4);
  });
}

struct throws_at_copy {
  explicit throws_at_copy(int n) : value(n) {}
  throws_at_copy(const throws_at_copy& other) : value(other.value) {
    if (value < 0) throw std::runtime_error("copy");
  }
  int value;
};

TEST(Promise, WhoseValueCannotBeCopiedIsAsBefore) {
  baton::promise<throws_at_copy> p;
  auto f = p.get_future();
  const throws_at_copy bad(-1);
  EXPECT_THROW(p.set_value(bad), std::runtime_error);
  EXPECT_FALSE(f.is_ready());
  p.set_value(throws_at_copy(5));
  EXPECT_EQ(f.get().value, 5);
}

template <class T>
struct counting_allocator {
  using value_type = T;
  explicit counting_allocator(int* c) noexcept : count(c) {}
  template <class U>
  counting_allocator(const counting_allocator<U>& other) noexcept  // NOLINT(google-explicit-constructor)
      : count(other.count) {}
  T* allocate(std::size_t n) {
    ++*count;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    --*count;
    std::allocator<T>().deallocate(p, n);
  }
  int* count;
};

TEST(Promise, UsesTheAllocator) {
  int count = 0;
  {
    baton::future<std::string> f;
    {
      baton::promise<std::string> p(std::allocator_arg, counting_allocator<int>(&count));
      EXPECT_EQ(count, 1);
      f = p.get_future();
      p.set_value("x");
    }
    EXPECT_EQ(count, 1);
    EXPECT_EQ(f.get(), "x");
    EXPECT_EQ(count, 0);
    baton::promise<int&> r(std::allocator_arg, counting_allocator<int>(&count));
    baton::promise<void> v(std::allocator_arg, counting_allocator<int>(&count));
    EXPECT_EQ(count, 2);
  }
  EXPECT_EQ(count, 0);
}

TEST(Future, WakesFibersAndThreads) {
  baton::promise<int> to_thread;
  std::thread plain([f = to_thread.get_future()]() mutable { EXPECT_EQ(f.get(), 1); });
  baton::run([&] {
    baton::promise<int> to_fiber;
    watched_agent waiter;
    auto fiber = baton::spawn([&, f = to_fiber.get_future()]() mutable {
      waiter.about_to_wait();
      return f.get();
    });
    waiter.await_parked();
    to_fiber.set_value(2);
    EXPECT_EQ(fiber.join(), 2);
    to_thread.set_value(1);
  });
  plain.join();
}

TEST(Future, BreakingAPromiseWakesItsWaiter) {
  baton::run([] {
    std::optional<baton::promise<void>> p(std::in_place);
    watched_agent waiter;
    auto fiber = baton::spawn([&, f = p->get_future()]() mutable {
      waiter.about_to_wait();
      EXPECT_FUTURE_ERROR(f.get(), broken_promise);
    });
    waiter.await_parked();
    p.reset();
    fiber.join();
  });
}

TEST(Future, TimedWaitsGiveUpNotBeforeTheirTime) {
  on_both([] {
    baton::promise<void> p;
    auto f = p.get_future();
    const auto begin = clock::now();
    EXPECT_EQ(f.wait_for(2ms), std::future_status::timeout);
    EXPECT_GE(clock::now() - begin, 2ms);
    EXPECT_EQ(f.wait_until(clock::now() - 1s), std::future_status::timeout);
    EXPECT_EQ(f.wait_until(std::chrono::system_clock::now() + 1ms), std::future_status::timeout);
    EXPECT_EQ(f.wait_for(-1s), std::future_status::timeout);
    watched_agent waiter;
    auto fiber = baton::spawn([&] {
      waiter.about_to_wait();
      return f.wait_for(std::chrono::hours::max());
    });
    waiter.await_parked();
    p.set_value();
    EXPECT_EQ(fiber.join(), std::future_status::ready);
  });
}

TEST(Future, TimeoutsRaceWithTheValue) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      baton::promise<int> p;
      const baton::shared_future<int> all = p.get_future();
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([all, i] {
          if (all.wait_for(std::chrono::microseconds(10 * i)) == std::future_status::ready) {
            EXPECT_EQ(all.get(), 5);
          }
        }));
      }
      fibers.push_back(baton::spawn([&p] { p.set_value(5); }));
      EXPECT_EQ(all.get(), 5);
      for (auto& f : fibers) f.join();
    }
  });
}

// The set_value() that ends the wait may still run.
TEST(Promise, MayBeDestroyedWhenTheWaitHasReturned) {
  baton::run([] {
    for (int round = 0; round < 500; ++round) {
      auto p = std::make_unique<baton::promise<int>>();
      auto f = p->get_future();
      baton::go([p = p.get(), round] { p->set_value(round); });
      if (round % 2 == 0) {
        while (!f.is_ready()) baton::this_fiber::yield();
      }
      EXPECT_EQ(f.get(), round);
      p.reset();
    }
  });
  for (int round = 0; round < 50; ++round) {
    auto p = std::make_unique<baton::promise<void>>();
    auto f = p->get_future();
    std::thread t([p = p.get()] { p->set_value(); });
    f.get();
    p.reset();
    t.join();
  }
}

TEST(Promise, OfManySettersOneSets) {
  baton::run([] {
    for (int round = 0; round < 100; ++round) {
      baton::promise<int> p;
      auto f = p.get_future();
      std::atomic<int> set{0};
      std::atomic<int> winner{-1};
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([&, i] {
          try {
            p.set_value(i);
            ++set;
            winner = i;
          } catch (const std::future_error& e) {
            EXPECT_EQ(e.code(), std::future_errc::promise_already_satisfied);
          }
        }));
      }
      for (auto& fiber : fibers) fiber.join();
      EXPECT_EQ(set, 1);
      EXPECT_EQ(f.get(), winner);
    }
  });
}

TEST(SharedFuture, IsWaitedForByMany) {
  baton::run([] {
    baton::promise<std::string> p;
    const baton::shared_future<std::string> all = p.get_future().share();
    std::atomic<int> got{0};
    std::vector<baton::fiber<void>> fibers;
    std::vector<watched_agent> waiters(20);
    for (auto& w : waiters) {
      fibers.push_back(baton::spawn([&w, &got, mine = all] {
        w.about_to_wait();
        if (mine.get() == "for all") ++got;
        if (mine.get() == "for all") ++got;  // again
      }));
    }
    std::thread plain([&got, mine = all] {
      if (mine.get() == "for all") ++got;
    });
    for (const auto& w : waiters) w.await_parked();
    p.set_value("for all");
    for (auto& f : fibers) f.join();
    baton::blocking([&] { plain.join(); });
    EXPECT_EQ(got, 41);
  });
}

TEST(SharedFuture, CopiesAndMovesAndOutlivesTheOthers) {
  baton::promise<int> p;
  baton::future<int> f = p.get_future();
  baton::shared_future<int> a = std::move(f);
  EXPECT_FALSE(f.valid());  // NOLINT(bugprone-use-after-move): what is tested
  baton::shared_future<int> b = a;
  baton::shared_future<int> c = std::move(a);
  EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move): what is tested
  a = b;
  a = std::move(b);
  p.set_value(6);
  EXPECT_EQ(&a.get(), &c.get());
  c = {};
  EXPECT_EQ(a.get(), 6);
  EXPECT_TRUE(a.valid());
}

TEST(SharedFuture, ThrowsTheExceptionEachTime) {
  baton::promise<int> p;
  const baton::shared_future<int> a = p.get_future();
  p.set_exception(std::make_exception_ptr(std::runtime_error("no")));
  EXPECT_THROW((void)a.get(), std::runtime_error);
  EXPECT_THROW((void)a.get(), std::runtime_error);
}

TEST(PromiseDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(baton::promise<int>().set_exception(nullptr), "promise: set_exception with a null exception_ptr");
  EXPECT_DEATH(static_cast<void>(baton::async(std::launch{}, [] {})),
               "async: the policy has neither launch::async nor launch::deferred");
}

}  // namespace
