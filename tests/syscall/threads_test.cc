// How many threads there are, and what happens when no more can be started.
#include "../sched/doorbell.h"
#include "../sched/on_fiber.h"
#include "../sched/own_process.h"
#include "system_call_filter.h"

#include <baton/sched/counters.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/timer.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <linux/audit.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#if !BATON_ASAN && !BATON_TSAN
namespace {
std::atomic<bool> threads_start_slowly{false};
}

// Replaces libc's function. Every thread of the runtime calls it when it starts. (So do the sanitizers, before any code
// that they have instrumented may run.)
extern "C" int sigaltstack(const stack_t* use, stack_t* was) noexcept {
  if (threads_start_slowly.load()) ::usleep(5000);
  return static_cast<int>(::syscall(SYS_sigaltstack, use, was));
}
#endif

namespace {

using namespace baton::sched;
using baton_test::eventually;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;
using baton_test::with_procs;

// Starts fibers that each block their thread once. Returns how many calls came back.
int block_a_hundred_times() {
  std::atomic<int> back{0};
  std::vector<fiber*> fibers;
  for (int i = 0; i < 100; ++i) {
    fibers.push_back(spawn_fiber([&] {
      baton::blocking([] { ::usleep(2000); }, baton::will_block);
      back.fetch_add(1);
    }));
  }
  for (fiber* f : fibers) join(f);
  return back.load();
}

class ThreadsDeathTest : public baton_test::own_process_test {};

TEST_F(ThreadsDeathTest, AtTheLimitWorkWaitsAndGoesOn) {
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 2;
        s.max_threads = 8;
        start(s);
        const int back = block_a_hundred_times();
        const bool few = read_counters().threads <= 8;
        on_fiber([] { yield(); });
        std::_Exit(back == 100 && few ? 0 : 1);
      },
      testing::ExitedWithCode(0), "all 8 threads that max_threads allows are in use");
}

TEST_F(ThreadsDeathTest, TheLimitHoldsFromTheStart) {
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 2;
        s.max_threads = 1;
        start(s);
        const int back = block_a_hundred_times();
        std::_Exit(back == 100 && read_counters().threads == 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "all 1 threads");
}

// From here on no thread can be started in this process.
void refuse_threads() {
  const std::uint32_t action = baton_test::fails_with(EAGAIN);
  if (baton_test::filter_calls({{SYS_clone}, {SYS_clone3}}, action, SECCOMP_FILTER_FLAG_TSYNC) != 0) {
    std::fputs("no seccomp here; cannot start a thread\n", stderr);
    std::_Exit(0);
  }
}

TEST_F(ThreadsDeathTest, RefusedThreadsAreWarnedOfOnceAndNothingIsLost) {
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 2;
        start(s);
        on_fiber([] {});
        while (read_counters().threads < 2) std::this_thread::yield();
        refuse_threads();
        const int back = block_a_hundred_times();
        on_fiber([] { yield(); });
        std::_Exit(back == 100 && read_counters().thread_failures > 0 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "cannot start a thread");
}

#if !BATON_ASAN && !BATON_TSAN
// On a busy machine a thread takes long to start. Meanwhile work keeps asking for one.
TEST_F(ThreadsDeathTest, ThreadsThatAreSlowToStartDoNotAskForMore) {
  EXPECT_EXIT(
      {
        threads_start_slowly = true;
        settings s;
        s.procs = 2;
        start(s);
        on_fiber([] {
          const auto until = platform::now_ns() + 100'000'000;
          while (platform::now_ns() < until) join(spawn_fiber([] { yield(); }));
        });
        const auto threads = read_counters().threads;
        std::fprintf(stderr, "%lu threads\n", threads);
        std::_Exit(threads <= 5 ? 0 : 1);  // two run, one polls, one to spare, one more at a time
      },
      testing::ExitedWithCode(0), "threads");
}
#endif

TEST_F(ThreadsDeathTest, IdleOnesEnd) {
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 2;
        s.idle_thread_ends_after_ns = 20'000'000;
        start(s);
        while (read_counters().threads_started <= 4) block_a_hundred_times();
        // procs, and two to spare
        while (read_counters().threads > 4) std::this_thread::yield();
        on_fiber([] { yield(); });
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// All threads that have been idle for long enough find at the same moment that there are too many.
TEST_F(ThreadsDeathTest, IdleOnesThatEndTogetherLeaveEnough) {
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 2;
        s.idle_thread_ends_after_ns = 50'000'000;
        start(s);
        std::uint64_t fewest = 4;  // procs, and two to spare
        for (int round = 0; round < 3; ++round) {
          do {
            block_a_hundred_times();
          } while (read_counters().threads < 8);
          if (!eventually([] { return read_counters().threads <= 4; })) std::_Exit(2);
          // As long as threads would go on ending.
          const std::int64_t until = platform::now_ns() + 2 * s.idle_thread_ends_after_ns;
          while (platform::now_ns() < until) {
            fewest = std::min(fewest, read_counters().threads);
            ::usleep(1000);
          }
        }
        std::fprintf(stderr, "%lu threads\n", fewest);
        std::_Exit(fewest == 4 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "4 threads");
}

// A process with one P whose four threads all block in a call.
class all_threads_block {
 public:
  all_threads_block() {
    settings s;
    s.procs = 1;
    s.max_threads = most;
    start(s);
  }
  void begin() {
    for (int i = 1; i <= most; ++i) {
      block_one();
      if (!eventually([&] { return blocked_.load() == i; })) std::_Exit(2);
    }
  }
  // Adds a fiber that blocks, whether or not there is a thread for it.
  void block_one() {
    spawn_fiber(
        [this] {
          baton::blocking(
              [this] {
                blocked_.fetch_add(1);
                for (;;) ::sleep(100);
              },
              baton::will_block);
        },
        false);
  }
  static constexpr int most = 4;

 private:
  std::atomic<int> blocked_{0};
};

// Returns how much of a CPU the monitor's thread uses in the next half second.
double cpu_share_of_monitor() {
  std::int32_t tid = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == "baton-monitor") tid = std::stoi(task.path().filename());
  }
  const std::int64_t began = platform::now_ns();
  const std::int64_t used = platform::thread_cpu_ns(tid);
  if (used < 0) std::_Exit(2);
  ::usleep(500'000);
  return static_cast<double>(platform::thread_cpu_ns(tid) - used) / static_cast<double>(platform::now_ns() - began);
}

// The monitor asks again and again for a thread, but leaves time in between. (That is 1 or 2 %.)
TEST_F(ThreadsDeathTest, AtTheLimitTheMonitorSleepsWhileWorkWaits) {
  EXPECT_EXIT(
      {
        all_threads_block all;
        all.begin();
        for (int i = 0; i < 4; ++i) all.block_one();
        const double share = cpu_share_of_monitor();
        std::fprintf(stderr, "the monitor uses %.1f %%\n", share * 100);
        std::_Exit(share < 0.2 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "the monitor uses");
}

// No work waits, only a timer, for which a thread has to sleep in the poller.
TEST_F(ThreadsDeathTest, AThreadThatIsOnlyToPollIsStartedOnceItMayBe) {
  EXPECT_EXIT(
      {
        all_threads_block all;
        std::atomic<int> ticks{0};
        spawn_fiber(
            [&] {
              for (;;) {
                sleep_until_ns(platform::now_ns() + 20'000'000);
                ticks.fetch_add(1);
              }
            },
            false);
        all.begin();
        // No thread is left: the sleeper stands still, and the monitor has long since found that out.
        for (int before = -1; before != ticks.load(); ::usleep(100'000)) before = ticks.load();
        const double share = cpu_share_of_monitor();
        std::fprintf(stderr, "the monitor uses %.1f %%\n", share * 100);
        if (share > 0.2) std::_Exit(1);
        const int before = ticks.load();
        set_max_threads(8);
        const bool woke = eventually([&] { return ticks.load() >= before + 3; });
        std::_Exit(woke ? 0 : 3);
      },
      testing::ExitedWithCode(0), "the monitor uses");
}

}  // namespace
