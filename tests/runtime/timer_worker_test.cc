// What happens if there is no memory for the timer_worker's fiber: the callers get the error, and what was granted is
// done.
#include <baton/runtime/channel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/on_cancel.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/timer.h>
#include <baton/sched/platform/atomic.h>  // BATON_ASAN, BATON_TSAN

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <new>
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

// For the rest of the process: limits the memory to what there is now and `more`.
void limit_the_address_space(rlim_t more) {
  long pages = 0;
  std::FILE* const statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr || std::fscanf(statm, "%ld", &pages) != 1) std::_Exit(10);
  std::fclose(statm);
  const rlim_t limit = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + more;
  const rlimit as{limit, limit};
  if (::setrlimit(RLIMIT_AS, &as) != 0) std::_Exit(11);
}

// Starts fibers until no more can be had.
void use_up_the_stacks(baton::event& until) {
  try {
    for (;;) baton::go([&] { until.wait(); });
  } catch (const std::bad_alloc&) {
  }
}

// Several threads make the process's first timers. Some fail; those that do not must fire.
void make_first_timers_without_memory() {
  ::alarm(30);
  std::_Exit(baton::run(
      [] {
        constexpr int makers = 8;
        std::atomic<int> there{0};
        std::atomic<int> ended{0};
        std::latch go_on(1);
        std::atomic<int> lost{0};
        std::vector<std::thread> threads;
        for (int i = 0; i < makers; ++i) {
          threads.emplace_back([&] {
            ++there;
            go_on.wait();
            for (int k = 0; k < 100 && lost == 0; ++k) {
              try {
                baton::timer t(1ms);
                std::optional<baton::timer::time_point> at;
                if (t.fired().receive_for(at, 5s) != baton::channel_status::ok) ++lost;
              } catch (const std::bad_alloc&) {
              }
            }
            ++ended;
          });
        }
        while (there != makers) baton::this_fiber::yield();
        limit_the_address_space(50u << 20);
        static baton::event never;
        use_up_the_stacks(never);
        go_on.count_down();
        while (ended != makers) baton::this_fiber::yield();  // so that the timer_worker can run
        std::_Exit(lost == 0 ? 0 : 1);
        return 0;
      },
      {.procs = 1}));
}

// A context with a deadline cannot be made if there is no memory for the timer_worker's fiber.
void make_contexts_without_memory() {
  ::alarm(30);
  std::_Exit(baton::run([] {
    limit_the_address_space(50u << 20);
    static baton::event never;
    use_up_the_stacks(never);
    try {
      static_cast<void>(baton::with_timeout(baton::context::background(), 1h));
      std::_Exit(12);
    } catch (const std::bad_alloc&) {
    }
    std::_Exit(0);
    return 0;
  }));
}

// What was promised while there was memory is done as soon as there is some again.
void call_functions_without_memory() {
  ::alarm(30);
  std::_Exit(baton::run(
      [] {
        static baton::event until;
        static baton::event called_on_cancel;
        static baton::event called_after;
        static const auto ctx = baton::with_cancel(baton::context::background());
        static const baton::on_cancel on_cancel(ctx, [] { called_on_cancel.set(); });
        static baton::timer after = baton::after_func(1h, [] { called_after.set(); });
        limit_the_address_space(50u << 20);
        use_up_the_stacks(until);
        ctx.cancel();
        static_cast<void>(after.reset(1ms));
        if (called_on_cancel.wait_for(5ms) || called_after.wait_for(5ms)) std::_Exit(12);
        until.set();  // their stacks are free again
        called_on_cancel.wait();
        called_after.wait();
        std::_Exit(0);
        return 0;
      },
      {.procs = 1}));  // other Ps would have stacks in their caches
}

class TimerWorkerDeathTest : public testing::Test {
 protected:
  TimerWorkerDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  void SetUp() override {
#if BATON_ASAN || BATON_TSAN
    GTEST_SKIP() << "sanitizers need the address space";
#endif
  }
};

TEST_F(TimerWorkerDeathTest, ATimerThatWasSetFires) {
  for (int i = 0; i < 3; ++i) EXPECT_EXIT(make_first_timers_without_memory(), testing::ExitedWithCode(0), "");
}

TEST_F(TimerWorkerDeathTest, AContextWithADeadlineIsNotMadeWithoutIt) {
  EXPECT_EXIT(make_contexts_without_memory(), testing::ExitedWithCode(0), "");
}

TEST_F(TimerWorkerDeathTest, FunctionsThatGetNoFiberAreCalledLater) {
  EXPECT_EXIT(call_functions_without_memory(), testing::ExitedWithCode(0), "");
}

}  // namespace
