// A process that forbids itself membarrier(2) while the runtime runs: no P is taken any more, and every fiber gets on.
#include "on_fiber.h"
#include "own_process.h"
#include "system_call_filter.h"

#include <baton/sched/counters.h>
#include <baton/sched/declared_call.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/asymmetric_fence.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/scheduler.h>

#include <gtest/gtest.h>

#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;

class RefusedFence : public baton_test::own_process_test {
 protected:
  void SetUp() override {
    if (BATON_TSAN) GTEST_SKIP() << "there the barriers are others";
    if (platform::init_barriers() != platform::barrier_kind::membarrier) GTEST_SKIP() << "there is no membarrier";
  }
};

// Takes effect for all threads at once.
void forbid_membarrier() {
  const std::uint32_t action = baton_test::fails_with(EPERM);
  if (baton_test::filter_call(SYS_membarrier, action, SECCOMP_FILTER_FLAG_TSYNC) != 0) std::_Exit(77);
}

// Accepts exit code 77, too: this system allows no filter.
bool right_or_no_filter(int status) {
  return testing::ExitedWithCode(0)(status) || testing::ExitedWithCode(77)(status);
}

void start_with(int procs) {
  settings s;
  s.procs = procs;
  start(s);
}

// A call that keeps its P, and lasts until the monitor has tried to take that P and failed.
void make_monitor_notice() {
  call_site site("a short call");
  std::atomic<bool> stop{false};
  std::vector<fiber*> others;  // so many that some wait at every P
  for (std::uint64_t i = 0; i <= 3 * read_counters().procs; ++i) {
    others.push_back(spawn_fiber([&] {
      while (!stop) yield();
    }));
  }
  on_fiber([&] {
    while (std::strcmp(read_counters().barrier, "refused") != 0) {
      static_cast<void>(begin_short_call(site));
      ::usleep(static_cast<useconds_t>(2 * limits::retake_at_the_latest_ns / 1000));  // even if others serve the work
      end_call(stay::anywhere);
    }
    stop = true;
  });
  for (fiber* f : others) join(f);
}

int takes_nothing(int procs) {
  start_with(procs);
  on_fiber([] {});
  forbid_membarrier();
  make_monitor_notice();
  const std::uint64_t before = read_counters().retakes;
  call_site site("a short call");
  std::atomic<bool> stop{false};
  std::vector<fiber*> others;
  for (int i = 0; i <= procs; ++i) {
    others.push_back(spawn_fiber([&] {
      while (!stop) yield();
    }));
  }
  on_fiber([&] {
    for (int i = 0; i < 20; ++i) {
      static_cast<void>(begin_short_call(site));
      ::usleep(3000);
      end_call(stay::anywhere);
    }
  });
  stop = true;
  for (fiber* f : others) join(f);
  return read_counters().retakes == before ? 0 : 1;
}

TEST_F(RefusedFence, NothingIsTaken) {
  for (const int procs : {1, 2, 8}) {
    EXPECT_EXIT(std::_Exit(takes_nothing(procs)), right_or_no_filter, "");
  }
}

// The site has learnt that its calls are short. This call is not: it waits for what another fiber does.
int a_short_site_blocks() {
  start_with(1);
  on_fiber([] {});
  forbid_membarrier();
  make_monitor_notice();
  int fds[2];
  if (::pipe(fds) != 0) return 2;
  call_site site("a short call");
  site.learn(false, false, nullptr);
  if (site.expect() != call_site::verdict::is_short) return 3;
  char c = 0;
  fiber* const reader = spawn_fiber([&] {
    begin_call(site);
    const bool read = ::read(fds[0], &c, 1) == 1;
    end_call(stay::anywhere);
    if (!read) std::_Exit(4);
  });
  fiber* const writer = spawn_fiber([&] {
    if (::write(fds[1], "x", 1) != 1) std::_Exit(5);
  });
  join(reader);
  join(writer);
  return c == 'x' ? 0 : 6;
}

TEST_F(RefusedFence, ADeclaredCallThatBlocksDoesNotKeepTheOthers) {
  EXPECT_EXIT(std::_Exit(a_short_site_blocks()), right_or_no_filter, "");
}

// Ms that make calls which never switch give up the Ps that must retire. Idle and busy times alternate.
int procs_follow() {
  start_with(4);
  on_fiber([] {});
  forbid_membarrier();
  make_monitor_notice();
  std::atomic<bool> stop{false};
  std::vector<fiber*> busy;
  for (int i = 0; i < 4; ++i) {
    busy.push_back(spawn_fiber([&] {
      while (!stop) {
        const runtime_section section;
      }
    }));
  }
  static_cast<void>(set_procs(1));
  // P 0 may have nothing to run meanwhile: a fiber that has given its P up goes on without one.
  for (int i = 1; i < 4; ++i) {
    while (!the_scheduler.ps[i].idle.load(std::memory_order_relaxed)) ::usleep(1000);
  }
  stop = true;
  for (fiber* f : busy) join(f);
  for (int i = 0; i < 5; ++i) {
    ::usleep(30'000);
    on_fiber([] { yield(); });
  }
  char why[200] = "";
  if (shut_down(why) || std::strstr(why, "membarrier") == nullptr) return 2;
  std::exit(0);  // with its handlers
}

TEST_F(RefusedFence, ProcsShrinkAndTheProcessEnds) { EXPECT_EXIT(std::_Exit(procs_follow()), right_or_no_filter, ""); }

}  // namespace
