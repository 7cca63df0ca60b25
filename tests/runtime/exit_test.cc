// What static destructors meet that use the runtime after exit(). A handler that is registered before the
// runtime starts runs where they do.
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/task_group.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <csignal>
#include <cstdlib>

namespace {

// In a process of its own, which would otherwise wait for ever.
class exit_death_test : public testing::Test {
 protected:
  exit_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// The handlers take no argument.
baton::task_group* group = nullptr;
baton::fiber<void>* joinable = nullptr;

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

TEST_F(exit_death_test, a_task_group_leaves_its_children) {
  EXPECT_EXIT(exit_with([] { delete group; },
                        [] {
                          group = new baton::task_group;
                          group->spawn([](const baton::context& ctx) { ctx.wait_done(); });
                        }),
              testing::ExitedWithCode(7), "exit.. has stopped all fibers: a task group leaves its children");
}

TEST_F(exit_death_test, a_task_group_whose_children_have_ended_says_nothing) {
  EXPECT_EXIT(exit_with([] { delete group; },
                        [] {
                          group = new baton::task_group;
                          group->spawn([] {});
                          static_cast<void>(group->wait());
                        }),
              testing::ExitedWithCode(7), "^$");
}

TEST_F(exit_death_test, a_fiber_that_waits_is_left) {
  EXPECT_EXIT(exit_with([] { delete joinable; }, make_a_fiber_that_waits), testing::ExitedWithCode(7),
              "exit.. has stopped all fibers: one that a destructor would join is left");
}

TEST_F(exit_death_test, join_aborts) {
  EXPECT_EXIT(exit_with([] { joinable->join(); }, make_a_fiber_that_waits), testing::KilledBySignal(SIGABRT),
              "join of fiber [0-9]+ after exit..");
}

TEST_F(exit_death_test, run_aborts) {
  EXPECT_EXIT(exit_with([] { baton::run([] {}); }, [] {}), testing::KilledBySignal(SIGABRT), "run.. after exit..");
}

TEST_F(exit_death_test, a_fiber_that_is_started_never_runs) {
  EXPECT_EXIT(exit_with([] { const auto f = baton::spawn([] { std::_Exit(1); }); }, [] {}), testing::ExitedWithCode(7),
              "exit.. has stopped all fibers: one that is started now never runs");
}

TEST_F(exit_death_test, any_other_wait_says_so) {
  EXPECT_EXIT(exit_with(
                  [] {
                    ::alarm(3);  // after it has said so
                    baton::event().wait();
                  },
                  [] {}),
              testing::KilledBySignal(SIGALRM), "exit.. has stopped all fibers: what a destructor waits for");
}

TEST_F(exit_death_test, holds_when_a_fiber_exits) {
  EXPECT_EXIT(exit_with([] { delete joinable; },
                        [] {
                          make_a_fiber_that_waits();
                          std::exit(3);
                        }),
              testing::ExitedWithCode(7), "one that a destructor would join is left");
}

}  // namespace
