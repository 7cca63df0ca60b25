// Stop tokens, contexts in waits, context values, contexts of signals: each reports that there is no memory, or needs
// none.
#include "failing_allocations.h"

#include <baton/baton.h>

#include <gtest/gtest.h>

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>

namespace baton::test {
namespace {

using namespace std::chrono_literals;

// In a fiber, and on a plain thread.
void on_both(const std::function<void(failing_allocation&)>& attempt) {
  run([&] { fail_each_allocation(attempt); });
  fail_each_allocation(attempt);
}

struct label {
  using value_type = std::string;
};

TEST(StoppingWithoutMemory, ValuesAreGivenOrNot) {
  on_both([](failing_allocation& fails) {
    const auto parent = with_cancel(context::background());
    std::optional<context> ctx;
    const bool threw = fails.during([&] {
      ctx = with_value<label>(parent, "a text that does not fit into the string itself");
      ctx = with_value<label>(*ctx, "b");
    });
    EXPECT_TRUE(fails.happened() || !threw);
    if (!threw) {
      EXPECT_EQ(*ctx->value<label>(), "b");
    }
    parent.cancel();
    EXPECT_TRUE(!ctx || ctx->is_done());
  });
}

TEST(StoppingWithoutMemory, AStopNeedsNone) {
  on_both([](failing_allocation& fails) {
    std::stop_source source;
    std::optional<context> ctx;
    static_cast<void>(fails.during([&] { ctx = stop_context(source.get_token()); }));
    mutex m;
    condition_variable a;
    condition_variable_any b;
    std::unique_lock lock(m);
    failing_allocation all(1, failing_allocation::which::all_from, whose::caller);
    EXPECT_FALSE(all.during([&] {
      EXPECT_FALSE(a.wait_for(lock, source.get_token(), 100us, [] { return false; }));
      EXPECT_FALSE(b.wait_for(lock, source.get_token(), 100us, [] { return false; }));
      source.request_stop();
      EXPECT_FALSE(a.wait(lock, source.get_token(), [] { return false; }));
      EXPECT_FALSE(b.wait(lock, source.get_token(), [] { return false; }));
    }));
    if (ctx) {
      EXPECT_TRUE(ctx->is_done());
    }
  });
}

TEST(StoppingWithoutMemory, LocksWithAContextAreTakenOrNot) {
  on_both([](failing_allocation& fails) {
    mutex m;
    semaphore s(1);
    const auto ctx = with_cancel(context::background());
    EXPECT_FALSE(fails.during([&] {
      EXPECT_TRUE(m.lock(ctx).ok());
      EXPECT_TRUE(s.acquire(ctx).ok());
    }));
    ctx.cancel();
    failing_allocation all(1, failing_allocation::which::all_from, whose::caller);
    static_cast<void>(all.during([&] { EXPECT_FALSE(m.lock(ctx).ok()); }));
    m.unlock();
    EXPECT_TRUE(m.try_lock()) << "the lock that failed has left it alone";
    m.unlock();
    s.release();
    static_cast<void>(all.during([&] { EXPECT_FALSE(s.acquire(ctx).ok()); }));
    EXPECT_TRUE(s.try_acquire());
  });
}

TEST(StoppingWithoutMemory, SignalsCancelOrAreNotAskedFor) {
  on_both([](failing_allocation& fails) {
    std::optional<context> ctx;
    try {
      const bool threw = fails.during([&] { ctx = os_signals::notify_context(context::background(), {SIGUSR1}); });
      EXPECT_EQ(threw, !ctx);
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code().value(), ENOMEM) << "of a descriptor";
    }
    if (!ctx) return;
    ::kill(::getpid(), SIGUSR1);
    ctx->wait_done();
    failing_allocation all(1, failing_allocation::which::all_from, whose::caller);
    EXPECT_FALSE(all.during([&] { os_signals::stop(*ctx); }));
  });
}

}  // namespace
}  // namespace baton::test
