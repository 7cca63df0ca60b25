// Channels, select, timers, contexts, groups, fibers, locks: each reports that there is no memory, and is unchanged.
#include "failing_allocations.h"

#include <baton/baton.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <system_error>
#include <thread>
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

// An operation that either works or throws, and leaves nothing behind.
template <class F>
void works_or_throws(F f) {
  on_both([&f](failing_allocation& fails) {
    const bool threw = fails.during(f);
    EXPECT_TRUE(fails.happened() || !threw);
  });
}

TEST(RuntimeWithoutMemory, ChannelsAreMade) {
  works_or_throws([] { const channel<std::string> c(100); });
}

TEST(RuntimeWithoutMemory, ChannelsWork) {
  on_both([](failing_allocation& fails) {
    const channel<int> c(2);
    const channel<int> empty;
    std::optional<int> out;
    int received = 0;
    const bool threw = fails.during([&] {
      c.send(1);
      static_cast<void>(c.try_send(2));
      static_cast<void>(c.send_for(3, 1ms));
      received += c.receive().value_or(0);
      static_cast<void>(c.try_receive(out));
      static_cast<void>(empty.receive_for(out, 1ms));
      static_cast<void>(empty.send_for(1, 1ms));
      c.close();
    });
    EXPECT_FALSE(threw) << "a deadline is kept without a timer, too";
    EXPECT_EQ(received, 1);
    EXPECT_TRUE(c.is_closed());
  });
}

TEST(RuntimeWithoutMemory, AValueWhoseCopyThrowsIsNotSent) {
  on_both([](failing_allocation& fails) {
    const channel<std::string> c(1);
    const std::string text(100, 'x');
    bool sent = false;
    const bool threw = fails.during([&] { sent = c.send(text); });
    EXPECT_EQ(threw, !sent);
    EXPECT_EQ(c.size(), sent ? 1U : 0U);
    if (!sent) {
      EXPECT_TRUE(c.send(text));
    }
    EXPECT_EQ(c.receive(), text);
  });
}

TEST(RuntimeWithoutMemory, SelectChoosesOneOrNothing) {
  on_both([](failing_allocation& fails) {
    const channel<std::string> out(1);
    const channel<int> none;
    const std::string text(100, 'x');
    const auto ctx = with_cancel(context::background());
    int chosen = 0;
    const bool threw = fails.during([&] {
      select(on_receive(none, [](auto) {}), on_send(out, text, [&](bool) { ++chosen; }), on_done(ctx, [] {}));
    });
    EXPECT_EQ(chosen, threw ? 0 : 1);
    EXPECT_EQ(out.size(), threw ? 0U : 1U);
    std::optional<std::size_t> timed;
    failing_allocation all(1, failing_allocation::which::all_from, whose::caller);
    EXPECT_FALSE(all.during([&] { timed = select_for(1ms, on_receive(none, [](auto) {}), on_done(ctx, [] {})); }));
    EXPECT_FALSE(timed);
  });
}

TEST(RuntimeWithoutMemory, ASelectorIsAsBefore) {
  on_both([](failing_allocation& fails) {
    const channel<int> in(1);
    const channel<std::string> out(1);
    const std::string text(100, 'x');
    const auto ctx = with_cancel(context::background());
    selector s;
    s.add(on_receive(in, [](auto) {}));
    std::size_t added = 1;
    const bool threw = fails.during([&] {
      s.add(on_send(out, text, [](bool) {})), ++added;
      s.add(on_done(ctx, [] {})), ++added;
      s.add(on_timeout(1h, [] {})), ++added;
      s.add(on_timeout(std::chrono::steady_clock::now() + 1h, [] {})), ++added;
      for (int i = 0; i < 20; ++i) s.add(on_receive(channel<int>(), [](auto) {})), ++added;
      static_cast<void>(s.wait_for(0s));
    });
    EXPECT_TRUE(threw || added == 25);
    in.send(1);
    for (std::size_t i = 0; i <= 2; ++i) {
      const auto chosen = s.wait_for(0s);
      ASSERT_LT(chosen.value_or(0), 2U);
      if (chosen == 0U) break;
      static_cast<void>(out.receive());
    }
    EXPECT_EQ(s.add(on_receive(in, [](auto) {})), added);
    while (added > 1) s.remove(--added);
  });
}

TEST(RuntimeWithoutMemory, ContextsAreMadeAndCancelled) {
  on_both([](failing_allocation& fails) {
    const auto top = with_cancel(context::background());
    std::optional<context> leaf;
    bool cancelled = false;
    static_cast<void>(fails.during([&] {
      leaf = with_cancel(top);
      leaf = with_timeout(*leaf, 1h);
      leaf = with_deadline(*leaf, std::chrono::steady_clock::now() - 1s);
    }));
    failing_allocation all(1, failing_allocation::which::all_from, whose::caller);
    EXPECT_FALSE(all.during([&] {
      top.cancel();
      cancelled = top.is_done();
      static_cast<void>(top.wait_done_for(1ms));
    }));
    EXPECT_TRUE(cancelled);
    if (leaf) {
      EXPECT_TRUE(leaf->is_done());
    }
  });
}

TEST(RuntimeWithoutMemory, ErrorsAreToldOrThrown) {
  works_or_throws([] {
    const auto c = with_timeout(context::background(), -1s);
    EXPECT_FALSE(c.error().ok());
    const auto d = with_cancel(context::background());
    d.cancel(absl::AbortedError("a message that does not fit in a word"));
    EXPECT_EQ(d.error().code(), absl::StatusCode::kAborted);
  });
}

TEST(RuntimeWithoutMemory, OnCancelIsMade) {
  works_or_throws([] {
    const auto ctx = with_cancel(context::background());
    const on_cancel a(ctx, [] {});
    ctx.cancel();
    const on_cancel b(ctx, [] {});
  });
}

// Stacks are mapped, which does not fail here. timer_worker_test tests that a function that gets no fiber is called
// later (functions_that_get_no_fiber_are_called_later).
TEST(RuntimeWithoutMemory, OnCancelIsCalled) {
  on_both([](failing_allocation& fails) {
    const auto ctx = with_cancel(context::background());
    event called;
    const on_cancel f(ctx, [&] { called.set(); });
    EXPECT_FALSE(fails.during([&] { ctx.cancel(); }));
    called.wait();
  });
}

TEST(RuntimeWithoutMemory, AGroupEnds) {
  on_both(
      [](failing_allocation& fails) {
        std::atomic<int> calls{0};
        int spawned = 0;
        {
          task_group g;
          g.set_limit(2);
          static_cast<void>(fails.during([&] {
            for (int i = 0; i < 5; ++i) {
              g.spawn([&] { ++calls; });
              ++spawned;
            }
            static_cast<void>(g.try_spawn([&] { --calls, ++calls; }));
            static_cast<void>(g.spawn_for(1ms, [] {}));
            static_cast<void>(g.wait_for(1ms));
            static_cast<void>(g.wait());
          }));
        }
        EXPECT_GE(calls, spawned);
      },
      whose::everybody);
}

TEST(RuntimeWithoutMemory, AGroupsFailureComesOutOfIt) {
  on_both(
      [](failing_allocation& fails) {
        task_group g;
        absl::Status first;
        static_cast<void>(fails.during([&] {
          g.spawn([]() -> absl::Status { return absl::AbortedError("a message that does not fit in a word"); });
          g.spawn([](const context& ctx) { ctx.wait_done(); });
          first = g.wait();
        }));
        g.cancel();
        try {
          static_cast<void>(g.wait());
        } catch (const std::bad_alloc&) {
        }
      },
      whose::everybody);
}

// Counts the objects of this kind.
class counted {
 public:
  explicit counted(std::atomic<int>& n) : n_(&n) { n.fetch_add(1); }
  counted(counted&& o) noexcept : n_(std::exchange(o.n_, nullptr)) {}
  ~counted() {
    if (n_ != nullptr) n_->fetch_sub(1);
  }

 private:
  std::atomic<int>* n_;
};

TEST(RuntimeWithoutMemory, FibersAreStartedAndJoined) {
  struct large {
    char bytes[200];
  };
  on_both(
      [](failing_allocation& fails) {
        std::atomic<int> ran{0};
        std::atomic<int> detached{0};
        static_cast<void>(fails.during([&] {
          auto small = spawn([&] { return ++ran; });
          auto boxed = spawn([&] { return ++ran, large{}; });
          auto text = spawn([&ran, s = std::string(100, 'x')] { return ++ran, s; });
          static_cast<void>(small.join_for(1ms));
          static_cast<void>(small.join());
          static_cast<void>(boxed.join());
          static_cast<void>(text.join());
          go([&ran, is_detached = counted(detached)] { ++ran; });
        }));
        while (detached > 0) this_fiber::yield();
      },
      whose::everybody);
}

TEST(RuntimeWithoutMemory, TimersAreSetAndStopped) {
  works_or_throws([] {
    timer t(1h);
    static_cast<void>(t.fired());
    t.reset(2h);
    t.stop();
    t.reset(0s);
    timer f = after_func(1h, [] {});
    f.reset(2h);
    ticker k(1h);
    static_cast<void>(k.ticks());
    k.reset(2h);
    static_cast<void>(after(0s));
  });
}

TEST(RuntimeWithoutMemory, WhatWasSetHappens) {
  on_both(
      [](failing_allocation& fails) {
        event called;
        timer t(500us);
        const auto fired = t.fired();
        timer f = after_func(500us, [&] { called.set(); });
        ticker k(500us);
        const auto ticks = k.ticks();
        const auto ctx = with_timeout(context::background(), 500us);
        const on_cancel c(ctx, [] {});
        EXPECT_FALSE(fails.during([&] {
          called.wait();
          static_cast<void>(fired.receive());
          static_cast<void>(ticks.receive());
          static_cast<void>(ticks.receive());
          ctx.wait_done();
        }));
      },
      whose::everybody);
}

TEST(RuntimeWithoutMemory, SleepThrowsOrSleeps) {
  works_or_throws([] { this_fiber::sleep_for(10us); });
}

TEST(RuntimeWithoutMemory, WaitsWithADeadlineEnd) {
  on_both([](failing_allocation& fails) {
    mutex m;
    shared_mutex sm;
    condition_variable cv;
    semaphore none(0);
    latch l(1);
    wait_group w;
    event e;
    std::unique_lock held(m);
    const std::unique_lock written(sm);
    w.add();
    auto endless = spawn([&] { e.wait(); });
    EXPECT_FALSE(fails.during([&] {
      EXPECT_FALSE(m.try_lock_for(100us));
      EXPECT_FALSE(sm.try_lock_for(100us));
      EXPECT_FALSE(sm.try_lock_shared_for(100us));
      static_cast<void>(cv.wait_for(held, 100us));
      EXPECT_FALSE(none.try_acquire_for(100us));
      EXPECT_FALSE(l.wait_for(100us));
      EXPECT_FALSE(w.wait_for(100us));
      EXPECT_FALSE(e.wait_for(100us));
      EXPECT_FALSE(endless.join_for(100us));
      EXPECT_FALSE(context::background().wait_done_for(100us));
    }));
    e.set();
    endless.join();
  });
}

// Without a timer, too, a wait ends by what it waits for.
TEST(RuntimeWithoutMemory, WaitsWithADeadlineEndByTheirEvent) {
  run([] {
    constexpr int waiters = 3000;  // more than the timers that exist at the start
    event begin;
    event end;
    std::atomic<int> waiting{0};
    std::vector<fiber<bool>> all;
    for (int i = 0; i < waiters; ++i) {
      all.push_back(spawn([&] {
        begin.wait();
        ++waiting;
        return end.wait_for(1h);
      }));
    }
    failing_allocation fails(1, failing_allocation::which::all_from, whose::everybody);
    const bool threw = fails.during([&] {
      begin.set();
      while (waiting < waiters) this_fiber::yield();
      this_fiber::yield();
      end.set();
    });
    EXPECT_FALSE(threw);
    int ended = 0;
    for (auto& f : all) ended += f.join() ? 1 : 0;
    EXPECT_EQ(ended, waiters);
    EXPECT_TRUE(fails.happened());
  });
}

TEST(RuntimeWithoutMemory, FiberLocalsAreBuilt) {
  static fiber_local<std::string> text(std::string(100, 'x'));
  static std::array<fiber_local<int>, 40> numbers;
  run([] {
    fail_each_allocation([](failing_allocation& fails) {
      spawn([&] {
        const bool threw = fails.during([] {
          EXPECT_EQ(text->size(), 100U);
          for (auto& n : numbers) ++*n;
        });
        EXPECT_EQ(threw, fails.happened());
        EXPECT_EQ(text->size(), 100U);
      }).join();
    });
  });
}

TEST(RuntimeWithoutMemory, CallOnceThrowsAndIsDoneLater) {
  on_both([](failing_allocation& fails) {
    once_flag once;
    std::string made;
    const auto make = [&] { call_once(once, [&] { made = std::string(100, 'x'); }); };
    static_cast<void>(fails.during(make));
    make();
    EXPECT_EQ(made.size(), 100U);
  });
}

TEST(RuntimeWithoutMemory, NumbersAndDumps) {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(nowhere, 0);
  on_both([nowhere](failing_allocation& fails) {
    static_cast<void>(fails.during([&] {
      dump_fibers(nowhere);
      static_cast<void>(to_string(stats()));
      for (const auto& site : call_sites()) static_cast<void>(to_string(site));
    }));
  });
  ::close(nowhere);
}

TEST(RuntimeWithoutMemory, SignalsAreHeardOrNotAskedFor) {
  on_both([](failing_allocation& fails) {
    const channel<int> c(1);
    bool asked = false;
    try {
      const bool threw = fails.during([&] {
        os_signals::notify(c, {SIGUSR1});
        asked = true;
      });
      EXPECT_EQ(threw, !asked);
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code().value(), ENOMEM) << "of a descriptor";
    }
    if (asked) {
      ::kill(::getpid(), SIGUSR1);
      EXPECT_EQ(c.receive(), SIGUSR1);
    }
    failing_allocation all(1, failing_allocation::which::all_from, whose::caller);
    EXPECT_FALSE(all.during([&] {
      os_signals::stop(c);
      os_signals::reset({SIGUSR1});
    }));
  });
}

// In a process that has not started the runtime: which allocation fails. (Were all to fail, run() would wait for the
// first thread until memory can be had.)
class FirstStartDeathTest : public testing::TestWithParam<int> {
 protected:
  FirstStartDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(FirstStartDeathTest, StartsOrSaysThatThereIsNoMemory) {
  EXPECT_EXIT(
      {
        failing_allocation fails(static_cast<std::uint64_t>(GetParam()), failing_allocation::which::one,
                                 whose::everybody);
        bool ran = false;
        const bool threw = fails.during([&] { run([&] { ran = true; }); });
        const bool as_said = threw != ran && (ran || fails.happened());
        ran = false;
        run([&] { ran = true; });
        std::_Exit(as_said && ran ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

INSTANTIATE_TEST_SUITE_P(Each, FirstStartDeathTest, testing::Range(1, 8));

TEST(RuntimeWithoutMemory, NothingStaysLocked) {
  on_both([](failing_allocation& fails) {
    mutex m;
    static_cast<void>(fails.during([&] {
      const std::lock_guard hold(m);
      const std::string text(100, 'x');
    }));
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

}  // namespace
}  // namespace baton::test
