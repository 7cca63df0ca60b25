// What static destructors that use the runtime after exit() meet. A handler that is registered before the runtime
// starts runs when they do.
#include <baton/netpoll/cancellation.h>
#include <baton/netpoll/net.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/runtime/channel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/future.h>
#include <baton/runtime/on_cancel.h>
#include <baton/runtime/run.h>
#include <baton/runtime/task_group.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/ticker.h>
#include <baton/runtime/timer.h>
#include <baton/sched/lifecycle.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

namespace baton::net {

// Gives the tests access to a stream's internals.
struct test_access {
  static descriptor& io(tcp_stream& s) { return s.state_->io; }
};

}  // namespace baton::net

namespace {

// Runs in a process of its own, which would otherwise wait for ever.
class ExitDeathTest : public testing::Test {
 protected:
  ExitDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Exit handlers take no argument.
baton::task_group* group = nullptr;
baton::on_cancel* callback = nullptr;
baton::net::tcp_listener* listener = nullptr;
baton::net::tcp_stream* stream = nullptr;
baton::net::tcp_stream* peer = nullptr;
baton::fiber<void>* joinable = nullptr;
baton::future<void>* result = nullptr;

[[noreturn]] void exit_with(void (*destructor)(), void (*in_run)()) {
  ::alarm(20);
  std::atexit([] { std::_Exit(7); });
  std::atexit(destructor);
  baton::run(in_run);
  std::exit(3);
}

void make_a_fiber_that_waits() {
  joinable = new baton::fiber<void>(baton::spawn([] { baton::event().wait(); }));
}

TEST_F(ExitDeathTest, ATaskGroupLeavesItsChildren) {
  EXPECT_EXIT(exit_with([] { delete group; },
                        [] {
                          group = new baton::task_group;
                          group->spawn([](const baton::context& ctx) { ctx.wait_done(); });
                        }),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: a task group leaves its children");
}

TEST_F(ExitDeathTest, ATaskGroupWhoseChildrenHaveEndedSaysNothing) {
  EXPECT_EXIT(exit_with([] { delete group; },
                        [] {
                          group = new baton::task_group;
                          group->spawn([] {});
                          static_cast<void>(group->wait());
                        }),
              testing::ExitedWithCode(7), "^$");
}

TEST_F(ExitDeathTest, AFiberThatWaitsIsLeft) {
  EXPECT_EXIT(exit_with([] { delete joinable; }, make_a_fiber_that_waits), testing::ExitedWithCode(7),
              "exit.. has stopped all fibers: one that a destructor would join is left");
}

TEST_F(ExitDeathTest, AFutureLeavesItsFunction) {
  EXPECT_EXIT(exit_with([] { delete result; },
                        [] { result = new baton::future<void>(baton::async([] { baton::event().wait(); })); }),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: a future leaves its state as it is");
}

TEST_F(ExitDeathTest, AFunctionThatRunsIsLeft) {
  EXPECT_EXIT(exit_with([] { delete callback; },
                        [] {
                          const auto ctx = baton::with_cancel(baton::context::background());
                          static baton::event started;
                          callback = new baton::on_cancel(ctx, [] {
                            started.set();
                            baton::event().wait();
                          });
                          ctx.cancel();
                          started.wait();
                        }),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: an on_cancel leaves its function");
}

// Stays where the runtime stops it: within the call.
struct stopped_subscriber final : baton::net::cancellation::node {
  void cancelled() noexcept override {
    entered = true;
    while (!baton::sched::is_ending()) ::usleep(100);
    for (;;) baton::go([] {});
  }
  std::atomic<bool> entered{false};
};
stopped_subscriber subscriber;
std::shared_ptr<baton::net::cancellation> source;

TEST_F(ExitDeathTest, ASubscriberThatIsBeingToldIsLeft) {
  EXPECT_EXIT(exit_with([] { source->unsubscribe(subscriber); },
                        [] {
                          static_cast<void>(baton::set_procs(2));
                          const auto ctx = baton::with_cancel(baton::context::background());
                          source = ctx.as_cancellation();
                          static_cast<void>(source->subscribe(subscriber));
                          baton::go([ctx] { ctx.cancel(); });
                          while (!subscriber.entered) baton::this_fiber::yield();
                        }),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: a subscription to a context is left");
}

void bind_and_accept() {
  listener = new baton::net::tcp_listener(*baton::net::tcp_listener::bind("127.0.0.1:0"));
  for (int i = 0; i < 2; ++i) baton::go([] { (void)listener->accept(); });
  baton::this_fiber::yield();
}

TEST_F(ExitDeathTest, AListenerIsLeftToThoseWhoAccept) {
  EXPECT_EXIT(exit_with([] { delete listener; }, bind_and_accept), testing::ExitedWithCode(7),
              "exit.. has stopped all fibers: a descriptor is left to those who use it");
}

TEST_F(ExitDeathTest, AListenerThatIsClosedAndDestroyedIsLeft) {
  EXPECT_EXIT(exit_with(
                  [] {
                    listener->close();
                    listener->close();
                    delete listener;
                  },
                  bind_and_accept),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: a descriptor is left to those who use it");
}

void connect() {
  auto l = *baton::net::tcp_listener::bind("127.0.0.1:0");
  peer = new baton::net::tcp_stream(*baton::net::dial(l.local_address().to_string()));
  stream = new baton::net::tcp_stream(*l.accept());
}

TEST_F(ExitDeathTest, AStreamIsLeftToThoseWhoReadAndWrite) {
  EXPECT_EXIT(exit_with([] { delete stream; },
                        [] {
                          connect();
                          for (int i = 0; i < 2; ++i) {
                            baton::go([] {
                              char buffer[1];
                              (void)stream->read(buffer);
                            });
                            baton::go([] { (void)stream->write(std::string(64u << 20, 'x')); });
                          }
                          while (baton::net::test_access::io(*stream).users() == 0) baton::this_fiber::yield();
                        }),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: a descriptor is left to those who use it");
}

// A fiber that was stopped within close() does not block others either.
TEST_F(ExitDeathTest, AStreamThatIsBeingClosedIsLeft) {
  EXPECT_EXIT(exit_with([] { delete stream; },
                        [] {
                          connect();
                          baton::go([] {
                            (void)baton::net::test_access::io(*stream).with_fd([](int) {
                              baton::event().wait();
                              return 0L;
                            });
                          });
                          while (baton::net::test_access::io(*stream).users() == 0) baton::this_fiber::yield();
                          baton::go([] { stream->close(); });
                          while (stream->is_open()) baton::this_fiber::yield();
                        }),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: a descriptor is left to those who use it");
}

TEST_F(ExitDeathTest, StreamsAndListenersThatNobodyUsesAreClosed) {
  EXPECT_EXIT(exit_with(
                  [] {
                    delete stream;
                    char buffer[1];
                    if (peer->read(buffer).value_or(1) != 0) std::_Exit(1);
                    delete peer;
                  },
                  connect),
              testing::ExitedWithCode(7), "^$");
}

TEST_F(ExitDeathTest, WhatDoesNotWaitEndsWithFibersInIt) {
  EXPECT_EXIT(exit_with([] { std::_Exit(7); },
                        [] {
                          static baton::ticker every(std::chrono::microseconds(100));
                          static baton::timer once =
                              baton::after_func(std::chrono::nanoseconds(1), [] { baton::event().wait(); });
                          static baton::channel<int> values;
                          static baton::event never;
                          static baton::cancellable_context ctx = baton::with_cancel(baton::context::background());
                          baton::go([] { (void)every.ticks().receive(), (void)values.receive(); });
                          baton::go([] { never.wait(); });
                          baton::go([] { ctx.wait_done(); });
                          baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
                        }),
              testing::ExitedWithCode(7), "^$");
}

TEST_F(ExitDeathTest, JoinAborts) {
  EXPECT_EXIT(exit_with([] { joinable->join(); }, make_a_fiber_that_waits), testing::KilledBySignal(SIGABRT),
              "join of fiber [0-9]+ after exit..");
}

TEST_F(ExitDeathTest, RunAborts) {
  EXPECT_EXIT(exit_with([] { baton::run([] {}); }, [] {}), testing::KilledBySignal(SIGABRT), "run.. after exit..");
}

TEST_F(ExitDeathTest, AFiberThatIsStartedNeverRuns) {
  EXPECT_EXIT(exit_with([] { const auto f = baton::spawn([] { std::_Exit(1); }); }, [] {}), testing::ExitedWithCode(7),
              "exit.. has stopped all fibers: one that is started now never runs");
}

TEST_F(ExitDeathTest, AnyOtherWaitSaysSo) {
  EXPECT_EXIT(exit_with(
                  [] {
                    ::alarm(3);  // after it has reported
                    baton::event().wait();
                  },
                  [] {}),
              testing::KilledBySignal(SIGALRM), "exit.. has stopped all fibers: what a destructor waits for");
}

TEST_F(ExitDeathTest, HoldsWhenAFiberExits) {
  EXPECT_EXIT(exit_with([] { delete joinable; },
                        [] {
                          make_a_fiber_that_waits();
                          std::exit(3);
                        }),
              testing::ExitedWithCode(7), "one that a destructor would join is left");
}

}  // namespace
