// notify_context(), all_signals, is_ignored().
#include "parked.h"

#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <absl/status/status.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;
using baton::channel;
using baton::test::watched_agent;
namespace os_signals = baton::os_signals;

const baton::context background = baton::context::background();

void send(int signal) { ASSERT_EQ(0, ::kill(::getpid(), signal)); }

bool has_default_action(int signal) {
  struct sigaction now = {};
  EXPECT_EQ(0, ::sigaction(signal, nullptr, &now));
  return now.sa_handler == SIG_DFL;
}

class OsSignalContext : public testing::Test {};
class OsSignalContextDeathTest : public testing::Test {
 protected:
  OsSignalContextDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(OsSignalContext, IsCancelledByItsSignal) {
  baton::run([] {
    const baton::context ctx = os_signals::notify_context(background, {SIGUSR1, SIGUSR2});
    EXPECT_FALSE(ctx.is_done());
    send(SIGUSR2);
    ctx.wait_done();
    EXPECT_TRUE(absl::IsCancelled(ctx.error()));
    EXPECT_EQ(ctx.error().message(), "signal " + std::to_string(SIGUSR2) + " (SIGUSR2)");
    // The signal stays caught. The second one is handled before ctx and its handler go.
    const channel<int> second(1);
    os_signals::notify(second, {SIGUSR1});
    send(SIGUSR1);
    EXPECT_EQ(second.receive(), SIGUSR1);
    os_signals::stop(second);
  });
}

TEST_F(OsSignalContext, EndsTheWaitOfAPlainThread) {
  const baton::context ctx = os_signals::notify_context(background, {SIGUSR1});
  watched_agent watch;
  std::jthread waiter([&] {
    watch.about_to_wait();
    ctx.wait_done();
  });
  baton::run([&] { watch.await_parked(); });
  send(SIGUSR1);
  waiter.join();
}

TEST_F(OsSignalContext, AllThatWantTheSignalAreCancelledAndAllChannelsGetIt) {
  baton::run([] {
    const baton::context a = os_signals::notify_context(background, {SIGUSR1});
    const baton::context b = os_signals::notify_context(background, {SIGUSR1, SIGUSR2});
    const baton::context c = os_signals::notify_context(background, {SIGUSR2});
    const channel<int> signals(1);
    os_signals::notify(signals, {SIGUSR1});
    send(SIGUSR1);
    a.wait_done();
    b.wait_done();
    EXPECT_EQ(signals.receive(), SIGUSR1);
    EXPECT_FALSE(c.is_done());
    os_signals::stop(signals);
  });
}

TEST_F(OsSignalContext, EndsWithTheContextAndAllThatIsBelowIt) {
  baton::run([] {
    ASSERT_TRUE(has_default_action(SIGUSR1));
    auto below = std::make_optional(baton::with_cancel(os_signals::notify_context(background, {SIGUSR1})));
    EXPECT_FALSE(has_default_action(SIGUSR1));
    send(SIGUSR1);
    below->wait_done();
    EXPECT_FALSE(has_default_action(SIGUSR1));
    below.reset();
    // The fiber that cancels may hold the context for a moment yet.
    while (!has_default_action(SIGUSR1)) baton::this_fiber::yield();
  });
}

TEST_F(OsSignalContext, StopEndsIt) {
  baton::run([] {
    const baton::context ctx = os_signals::notify_context(background, {SIGUSR1});
    const baton::context other = os_signals::notify_context(background, {SIGUSR1});
    os_signals::stop(baton::with_cancel(ctx));  // not what notify_context() returned
    os_signals::stop(background);
    os_signals::stop(ctx);
    EXPECT_FALSE(has_default_action(SIGUSR1));
    send(SIGUSR1);
    other.wait_done();
    EXPECT_FALSE(ctx.is_done());
    os_signals::stop(other);
    EXPECT_TRUE(has_default_action(SIGUSR1));
    os_signals::stop(other);
  });
}

TEST_F(OsSignalContext, IsDoneWithItsParentToo) {
  const auto parent = baton::with_cancel(background);
  const baton::context ctx = os_signals::notify_context(parent, {SIGUSR1});
  parent.cancel(absl::AbortedError("gone"));
  EXPECT_EQ(ctx.error().message(), "gone");
}

TEST_F(OsSignalContext, ResetAndIgnoreEndItToo) {
  baton::run([] {
    const baton::context ctx = os_signals::notify_context(background, {SIGUSR1, SIGUSR2});
    os_signals::reset({SIGUSR1});
    EXPECT_TRUE(has_default_action(SIGUSR1));
    os_signals::ignore({SIGUSR2});
    send(SIGUSR2);
    EXPECT_FALSE(ctx.is_done());
    os_signals::reset();
    EXPECT_TRUE(has_default_action(SIGUSR2));
  });
}

TEST_F(OsSignalContext, MayBeDroppedWhileTheSignalComes) {
  // A signal that comes after the drop is for this channel.
  const channel<int> guard(1);
  os_signals::notify(guard, {SIGUSR1});
  baton::run([&] {
    for (int round = 0; round < 300; ++round) {
      auto ctx = std::make_unique<baton::context>(os_signals::notify_context(background, {SIGUSR1}));
      auto below = std::make_unique<baton::context>(baton::with_cancel(*ctx));
      auto sender = baton::spawn([] { send(SIGUSR1); });
      if (round % 2 != 0) baton::this_fiber::yield();
      ctx = nullptr;
      if (round % 3 != 0) baton::this_fiber::yield();
      below = nullptr;
      sender.join();
      EXPECT_EQ(guard.receive(), SIGUSR1);
    }
  });
  os_signals::stop(guard);
}

TEST_F(OsSignalContext, IsIgnoredSaysWhatTheProcessIgnores) {
  EXPECT_FALSE(os_signals::is_ignored(SIGUSR1));
  os_signals::ignore({SIGUSR1});
  EXPECT_TRUE(os_signals::is_ignored(SIGUSR1));
  {
    const baton::context ctx = os_signals::notify_context(background, {SIGUSR1});
    EXPECT_FALSE(os_signals::is_ignored(SIGUSR1));
  }
  os_signals::reset();
  EXPECT_FALSE(os_signals::is_ignored(SIGUSR1));
  const auto former = std::signal(SIGHUP, SIG_IGN);  // as nohup does
  EXPECT_TRUE(os_signals::is_ignored(SIGHUP));
  std::signal(SIGHUP, former);
  EXPECT_FALSE(os_signals::is_ignored(SIGKILL));
  EXPECT_FALSE(os_signals::is_ignored(SIGRTMIN - 1)) << "the C library keeps it for itself";
}

TEST_F(OsSignalContextDeathTest, ASecondSignalAfterStopEndsTheProcess) {
  EXPECT_EXIT(baton::run([] {
                const baton::context ctx = os_signals::notify_context(background, {SIGTERM});
                send(SIGTERM);
                ctx.wait_done();
                os_signals::stop(ctx);
                send(SIGTERM);
                baton::this_fiber::sleep_for(1h);
              }),
              testing::KilledBySignal(SIGTERM), "");
}

// A signal that came for the context alone, and did not cancel it, is not lost.
TEST_F(OsSignalContextDeathTest, ASignalThatIsDroppedIsRaisedAgain) {
  EXPECT_EXIT(baton::run([] {
                for (;;) {
                  auto ctx = std::make_optional(os_signals::notify_context(background, {SIGTERM}));
                  send(SIGTERM);
                  ctx.reset();  // mostly before the listener has seen the signal
                }
              }),
              testing::KilledBySignal(SIGTERM), "");
}

TEST_F(OsSignalContextDeathTest, AllSignalsAreThoseThatCanBeCaught) {
  EXPECT_EXIT(baton::run([] {
                const channel<int> signals(4);
                os_signals::notify(signals, os_signals::all_signals);
                for (const int s : {SIGTERM, SIGHUP, SIGUSR1, SIGWINCH, SIGRTMIN, SIGRTMAX}) {
                  send(s);
                  if (signals.receive() != s) ::_exit(1);
                }
                os_signals::stop(signals);
                for (const int s : {SIGTERM, SIGHUP, SIGUSR1, SIGRTMIN}) {
                  if (!has_default_action(s)) ::_exit(2);
                }
                const baton::context ctx = os_signals::notify_context(background, os_signals::all_signals);
                send(SIGRTMIN + 1);
                ctx.wait_done();
                ::_exit(ctx.error().message() == "signal " + std::to_string(SIGRTMIN + 1) ? 0 : 3);
              }),
              testing::ExitedWithCode(0), "");
}

TEST_F(OsSignalContextDeathTest, ANumberThatIsNoSignalIsMisuse) {
  EXPECT_DEATH(static_cast<void>(os_signals::is_ignored(0)), "os_signals: 0 is no signal");
  EXPECT_DEATH(static_cast<void>(os_signals::notify_context(background, {65})), "os_signals: 65 is no signal");
}

}  // namespace
