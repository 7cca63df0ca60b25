// What exit() meets: fibers that are inside calls, and destructors that use the runtime. A handler that is registered
// before the runtime starts runs after the runtime's own, where static destructors run.
#include "doorbell.h"
#include "on_fiber.h"
#include "own_process.h"

#include <baton/sched/declared_call.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/timer.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using namespace baton::sched;
using baton_test::eventually;
using baton_test::on_fiber;
using baton_test::spawn_fiber;

class AtExitDeathTest : public baton_test::own_process_test {};

constexpr int sleepers = 100;
std::int64_t exit_began = 0;

// exit() may wait 20 ms for each sleeper. One after the other, that would be two seconds.
void leave_unless_slow() {
  const std::int64_t took = platform::now_ns() - exit_began;
  std::fprintf(stderr, "exit took %lld ms\n", static_cast<long long>(took / 1'000'000));
  std::_Exit(took < 1'000'000'000 ? 0 : 1);
}

void exit_while_many_sleep(bool declared) {
  std::atexit(leave_unless_slow);
  settings s;
  s.procs = 8;
  s.rescue_after_ns = 1'000'000;
  start(s);
  static std::atomic<int> asleep{0};
  for (int i = 0; i < sleepers; ++i) {
    spawn_fiber(
        [declared] {
          if (declared) begin_blocking_call();
          asleep.fetch_add(1);
          for (;;) ::sleep(100);
        },
        false);
  }
  if (!eventually([] { return asleep.load() == sleepers; })) std::_Exit(2);
  exit_began = platform::now_ns();
  std::exit(3);
}

TEST_F(AtExitDeathTest, WaitsForAllThatSleepTogether) {
  EXPECT_EXIT(exit_while_many_sleep(false), testing::ExitedWithCode(0), "exit took");
}

TEST_F(AtExitDeathTest, DoesNotWaitForDeclaredCalls) {
  EXPECT_EXIT(exit_while_many_sleep(true), testing::ExitedWithCode(0), "exit took");
}

std::atomic<bool> ending{false};

// Does what a destructor might do: it waits, and makes a call that blocks.
void wait_in_the_end() {
  ending.store(true);
  sleep_until_ns(platform::now_ns() + 20'000'000);
  begin_blocking_call();
  ::usleep(20'000);
  end_call(stay::anywhere);
  std::_Exit(7);
}

void exit_from_a_fiber(int procs) {
  ::alarm(20);
  std::atexit(wait_in_the_end);
  settings s;
  s.procs = procs;
  start(s);
  static std::atomic<int> turns{0};
  for (int i = 0; i < 4; ++i) {
    spawn_fiber(
        [] {
          for (;;) {
            if (ending.load()) {
              std::fprintf(stderr, "a fiber ran beside static destructors\n");
              std::_Exit(1);
            }
            turns.fetch_add(1);
            yield();
          }
        },
        false);
  }
  on_fiber([] {
    while (turns.load() < 100) yield();
    std::exit(3);
  });
}

TEST_F(AtExitDeathTest, ADestructorThatWaitsIsAloneWhenAFiberExits) {
  EXPECT_EXIT(exit_from_a_fiber(1), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(exit_from_a_fiber(2), testing::ExitedWithCode(7), "");
}

}  // namespace
