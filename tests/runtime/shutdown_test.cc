// shutdown(), tested in processes of their own, whose threads can be counted, and in which other tests have left
// nothing.
#include "good_child.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/ticker.h>
#include <baton/runtime/timer.h>
#include <baton/runtime/wait_group.h>

#include <baton/netpoll/dial.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/sanitizer.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/pinning.h>

#include "runtime/parked.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

class ShutdownDeathTest : public testing::Test {
 protected:
  ShutdownDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void check_refused(const char* why) {
  const absl::Status s = baton::shutdown();
  if (absl::IsFailedPrecondition(s) && s.message().find(why) != s.message().npos) return;
  std::fprintf(stderr, "not refused because \"%s\": %s\n", why, s.ToString().c_str());
  std::_Exit(1);
}

// The kernel may still count a thread for a moment after it has been joined.
void check_threads(int n) {
  constexpr int of_the_sanitizer = BATON_TSAN;
  for (int i = 0; i < 10'000; ++i) {
    if (baton::sched::platform::thread_count() == n + of_the_sanitizer) return;
    ::usleep(1000);
  }
  std::fprintf(stderr, "%d threads\n", baton::sched::platform::thread_count());
  std::_Exit(1);
}

TEST_F(ShutdownDeathTest, ThereIsNothingToEndBeforeTheFirstUse) {
  EXPECT_GOOD_CHILD([] {
    const int before = baton::sched::platform::thread_count();
    CHECK(baton::shutdown().ok());
    CHECK(baton::sched::platform::thread_count() == before);
  });
}

TEST_F(ShutdownDeathTest, EndsEveryThreadAndRunStartsAnew) {
  EXPECT_GOOD_CHILD([] {
    for (int round = 1; round <= 20; ++round) {
      std::atomic<int> sum{0};
      const int code = baton::run(
          [&] {
            CHECK(baton::procs() == round % 3 + 1);
            std::vector<baton::fiber<void>> all;
            for (int i = 0; i < 100; ++i) {
              all.push_back(baton::spawn([&sum] {
                baton::this_fiber::yield();
                sum += baton::blocking([] { return 1; });
              }));
            }
            return round;
          },
          {.procs = round % 3 + 1});
      CHECK(code == round);
      CHECK(sum == 100);
      CHECK(baton::shutdown().ok());
      check_threads(1);
      CHECK(baton::shutdown().ok());  // a second call does nothing
    }
  });
}

TEST_F(ShutdownDeathTest, SettingsAreThoseOfTheStartThatFollows) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] { CHECK(baton::procs() == 3); }, {.procs = 3, .max_threads = 7});
    CHECK(baton::set_max_threads(7) == 7);
    CHECK(baton::shutdown().ok());
    baton::run([] { CHECK(baton::procs() == 1); }, {.procs = 1, .max_threads = 9});
    CHECK(baton::set_max_threads(9) == 9);
    CHECK(baton::set_procs(2) == 1);
    CHECK(baton::procs() == 2);
  });
}

TEST_F(ShutdownDeathTest, FibersThatWaitAreNamed) {
  EXPECT_GOOD_CHILD([] {
    baton::event go_on;
    auto named = baton::run([&] {
      auto f = baton::spawn({.name = "lost sheep"}, [&] { go_on.wait(); });
      f.detach();
      for (int i = 0; i < 7; ++i) baton::go([&] { go_on.wait(); });
      while (baton::stats().fibers_parked < 8) baton::this_fiber::yield();
      return 0;
    });
    CHECK(named == 0);
    check_refused("8 fibers have not ended: fiber ");
    check_refused("\"lost sheep\"");
    check_refused("and 3 more");
    // Nothing has happened: everything goes on.
    CHECK(baton::run([] { return 5; }) == 5);
    go_on.set();
    CHECK(baton::shutdown().ok());
    check_threads(1);
  });
}

TEST_F(ShutdownDeathTest, AFiberInADeclaredCallIsOneThatHasNotEnded) {
  EXPECT_GOOD_CHILD([] {
    std::atomic<bool> end{false};
    std::atomic<bool> there{false};
    auto f = baton::spawn([&] {
      baton::blocking([&] {
        there = true;
        there.notify_all();
        end.wait(false);
      });
    });
    there.wait(false);
    check_refused("1 fiber has not ended");
    end = true;
    end.notify_all();
    f.join();
    CHECK(baton::shutdown().ok());
  });
}

TEST_F(ShutdownDeathTest, AFiberThatHasEndedIsJoinedLater) {
  EXPECT_GOOD_CHILD([] {
    auto f = baton::spawn([] { return std::string(1000, 'x'); });
    CHECK(baton::shutdown().ok());  // waits for its end, not for the join
    check_threads(1);
    CHECK(f.join() == std::string(1000, 'x'));
    check_threads(1);
  });
}

TEST_F(ShutdownDeathTest, AFiberMayNot) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] {
      check_refused("called by fiber ");
      baton::blocking([] { check_refused("called by fiber "); });
    });
    CHECK(baton::shutdown().ok());
  });
}

TEST_F(ShutdownDeathTest, ATimerThatIsSetIsKept) {
  EXPECT_GOOD_CHILD([] {
    std::atomic<bool> called{false};
    auto t = baton::after_func(1h, [&] {
      called = true;
      called.notify_all();
    });
    check_refused("1 timer is set");
    t.reset(0ns);
    called.wait(false);
    CHECK(baton::shutdown().ok());
    auto other = baton::after_func(1h, [] {});
    check_refused("1 timer is set");
    other.stop();
    CHECK(baton::shutdown().ok());
    check_threads(1);
  });
}

TEST_F(ShutdownDeathTest, ContextsAndTimersWorkOnAfterIt) {
  EXPECT_GOOD_CHILD([] {
    for (int round = 0; round < 3; ++round) {
      const auto ctx = baton::with_timeout(baton::context::background(), 1ms);
      ctx.wait_done();  // as a plain thread
      CHECK(absl::IsDeadlineExceeded(ctx.error()));
      CHECK(baton::after(1ms).receive().has_value());
      CHECK(baton::shutdown().ok());
      check_threads(1);
    }
  });
}

TEST_F(ShutdownDeathTest, AThreadThatWaitsForADescriptorIsServed) {
  EXPECT_GOOD_CHILD([] {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
    CHECK(listener.ok());
    baton::test::watched_agent there;
    std::thread waits([&] {
      there.about_to_wait();
      CHECK(listener->accept().ok());
    });
    there.await_parked();
    check_refused("1 thread waits for a descriptor");
    CHECK(baton::net::dial(listener->local_address().to_string()).ok());
    waits.join();
    CHECK(baton::shutdown().ok());
    check_threads(1);
    // A call that comes after it starts the runtime again.
    std::thread again([&] { CHECK(listener->accept().ok()); });
    CHECK(baton::net::dial(listener->local_address().to_string()).ok());
    again.join();
    CHECK(baton::shutdown().ok());
  });
}

TEST_F(ShutdownDeathTest, ASignalThatComesMeanwhileIsKept) {
  EXPECT_GOOD_CHILD([] {
    const baton::channel<int> arrived(1);
    baton::os_signals::notify(arrived, {SIGUSR1});
    ::kill(::getpid(), SIGUSR1);
    CHECK(arrived.receive() == SIGUSR1);
    CHECK(baton::shutdown().ok());
    check_threads(1);
    ::kill(::getpid(), SIGUSR1);
    CHECK(baton::run([&] { return *arrived.receive(); }) == SIGUSR1);
    CHECK(baton::shutdown().ok());
  });
}

TEST_F(ShutdownDeathTest, NotInTheChildOfAFork) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] {});
    const pid_t child = ::fork();
    if (child == 0) {
      check_refused("the child of a fork");
      ::_exit(0);
    }
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child && status == 0);
    CHECK(baton::shutdown().ok());
  });
}

TEST_F(ShutdownDeathTest, NotAfterExit) {
  EXPECT_EXIT(
      {
        std::atexit([] {
          check_refused("exit() has stopped all fibers");
          std::_Exit(7);
        });
        baton::run([] {});
        std::exit(3);
      },
      testing::ExitedWithCode(7), "^$");
}

TEST_F(ShutdownDeathTest, WhatStartsAfterExitInAProcessThatWasShutDownNeverRuns) {
  EXPECT_EXIT(
      {
        ::alarm(60);
        std::atexit([] {
          baton::go([] { std::_Exit(1); });
          check_threads(1);
          std::_Exit(7);
        });
        baton::run([] {});
        CHECK(baton::shutdown().ok());
        std::exit(3);
      },
      testing::ExitedWithCode(7), "one that is started now never runs");
}

// What needs the runtime changes from a timer to the runtime's own fiber and back.
TEST_F(ShutdownDeathTest, ATickerIsNeverMissed) {
  EXPECT_GOOD_CHILD([] {
    const baton::ticker ticks(20us);
    const auto until = std::chrono::steady_clock::now() + 2s;
    while (std::chrono::steady_clock::now() < until) CHECK(!baton::shutdown().ok());
    CHECK(ticks.ticks().receive().has_value());
    CHECK(ticks.ticks().receive().has_value());
  });
}

// There is always a fiber, but none exists for long.
TEST_F(ShutdownDeathTest, ARelayOfFibersIsNeverMissed) {
  EXPECT_GOOD_CHILD([] {
    static std::atomic<bool> over{false};
    struct runner {
      static void run() {
        if (!over) baton::go(run);
      }
    };
    baton::run([] {
      std::vector<baton::fiber<void>> all;  // their entries are used in turn
      for (int i = 0; i < 200; ++i) all.push_back(baton::spawn([] { baton::this_fiber::yield(); }));
    });
    baton::go(runner::run);
    for (int i = 0; i < 10; ++i) CHECK(!baton::shutdown().ok());
    over = true;
    CHECK(baton::shutdown().ok());
  });
}

// The thread ends with a destructor, which may take long and use the runtime.
struct last_will {
  ~last_will() {
    if (!used) return;
    baton::go([] {});
    ::usleep(1000);
  }
  bool used = false;
};
thread_local last_will will;

TEST_F(ShutdownDeathTest, TheThreadOfALockedFiberIsWaitedFor) {
  EXPECT_GOOD_CHILD([] {
    for (int i = 0; i < 300; ++i) {
      baton::spawn([] {
        baton::lock_os_thread();
        will.used = true;
      }).join();
      // More than one try: what the destructor starts is a fiber like any other.
      while (!baton::shutdown().ok()) {
      }
    }
    CHECK(baton::shutdown().ok());
    check_threads(1);
  });
}

// exit() stops the threads that another thread's shutdown() waits for.
TEST_F(ShutdownDeathTest, AStaticDestructorDoesNotWaitForAShutdownThatExitStopped) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EXIT(
        {
          ::alarm(20);
          std::atexit([] {
            baton::go([] {});
            check_refused("exit() has stopped all fibers");
            std::_Exit(7);
          });
          baton::run([] {});
          std::thread([] {
            for (;;) {
              static_cast<void>(baton::shutdown());
              baton::run([] {});
            }
          }).detach();
          ::usleep(3000);
          std::exit(3);
        },
        testing::ExitedWithCode(7), "");
  }
}

// Threads that start fibers, set timers, wait for descriptors, and shut down, all at once.
TEST_F(ShutdownDeathTest, NothingIsLostBetweenOthers) {
  EXPECT_GOOD_CHILD([] {
    constexpr int rounds = BATON_TSAN ? 100 : 1500;
    std::atomic<bool> over{false};
    std::atomic<int> done{0};
    std::vector<std::thread> users;
    users.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) done += baton::spawn([] { return 1; }).join();
    });
    users.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        baton::wait_group all;
        all.add(3);
        for (int k = 0; k < 3; ++k) {
          baton::go([&] {
            baton::this_fiber::yield();
            all.done();
          });
        }
        all.wait();
        ++done;
      }
    });
    users.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        CHECK(baton::after(1us).receive().has_value());
        ++done;
      }
    });
    users.emplace_back([&] {
      auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
      CHECK(listener.ok());
      const std::string to = listener->local_address().to_string();
      for (int i = 0; i < rounds; ++i) {
        auto dialed = baton::net::dial(to);
        auto accepted = listener->accept();
        CHECK(dialed.ok() && accepted.ok());
        char byte = 0;
        std::thread writer([&] { CHECK(dialed->write("x").ok()); });
        CHECK(accepted->read(baton::bytes(&byte, 1)).ok() && byte == 'x');
        writer.join();
        ++done;
      }
    });
    std::thread ender([&] {
      while (!over) {
        const absl::Status s = baton::shutdown();
        CHECK(s.ok() || absl::IsFailedPrecondition(s));
      }
    });
    for (std::thread& t : users) t.join();
    over = true;
    ender.join();
    CHECK(done == 4 * rounds);
    CHECK(baton::shutdown().ok());
    check_threads(1);
  });
}

}  // namespace
