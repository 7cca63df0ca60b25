// Fibers that block their thread, or compute, without a declaration: the other fibers go on. The blocking ends only by
// what the other fibers do, so these tests hang if no P is taken.
#include "doorbell.h"
#include "on_fiber.h"
#include "own_process.h"

#include <baton/sched/counters.h>
#include <baton/sched/limits.h>
#include <baton/sched/machine.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/slice_notice.h>

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::flag;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;
using baton_test::with_procs;

class RescueDeathTest : public baton_test::own_process_test {};

struct pipe_pair {
  pipe_pair() {
    if (::pipe(fds) != 0) std::abort();
  }
  ~pipe_pair() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  int fds[2];
};

// The Ps that the monitor has taken. One that is retired because of an earlier test is not a rescue.
std::uint64_t taken() {
  const counters c = read_counters();
  return c.rescues + c.retakes;
}

TEST(Rescue, AnUndeclaredReadIsRelievedAndGoesOnWhereItWas) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    const std::uint64_t before = taken();
    std::vector<fiber*> fibers;
    std::vector<pipe_pair> pipes(static_cast<std::size_t>(n) + 2);
    std::atomic<std::size_t> reading{0};
    for (auto& p : pipes) {
      fibers.push_back(spawn_fiber([&p, &reading] {
        const auto thread = platform::thread_id();
        char c = 0;
        reading.fetch_add(1);
        EXPECT_EQ(::read(p.fds[0], &c, 1), 1);
        EXPECT_EQ(platform::thread_id(), thread) << "only the P moves, never the fiber";
        yield();
      }));
    }
    // Two more read than there are Ps, and none of them gives its P up.
    fiber* const writer = spawn_fiber([&] {
      while (reading < pipes.size()) yield();
      for (auto& p : pipes) EXPECT_EQ(::write(p.fds[1], "x", 1), 1);
    });
    for (fiber* f : fibers) join(f);
    join(writer);
    EXPECT_GT(taken(), before);
  }
}

TEST(Rescue, PollAndFlockAreNotInterruptedByIt) {
  const with_procs one(1);
  on_fiber([] {
    pipe_pair p;
    std::FILE* const a = std::tmpfile();
    ASSERT_NE(a, nullptr);
    const std::string path = "/proc/self/fd/" + std::to_string(::fileno(a));
    std::FILE* const b = std::fopen(path.c_str(), "r");
    ASSERT_NE(b, nullptr);
    ASSERT_EQ(::flock(::fileno(a), LOCK_EX), 0);
    fiber* const other = spawn_fiber([&] {
      EXPECT_EQ(::write(p.fds[1], "x", 1), 1);
      EXPECT_EQ(::flock(::fileno(a), LOCK_UN), 0);
    });
    EXPECT_EQ(::flock(::fileno(b), LOCK_EX), 0) << errno;
    pollfd what{p.fds[0], POLLIN, 0};
    EXPECT_EQ(::poll(&what, 1, -1), 1) << errno;
    join(other);
    std::fclose(a);
    std::fclose(b);
  });
}

TEST(Rescue, FibersThatComputeShareTheCpu) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    std::atomic<bool> stop{false};
    std::vector<fiber*> hogs;
    for (int i = 0; i < n + 3; ++i) {
      hogs.push_back(spawn_fiber([&] {
        while (!stop.load(std::memory_order_relaxed)) {
        }
      }));
    }
    fiber* const other = spawn_fiber([&] {
      for (int i = 0; i < 100; ++i) yield();
      stop = true;
    });
    for (fiber* hog : hogs) join(hog);
    join(other);
  }
}

// With calls: they never switch, so no visit is long.
void not_each_gets_a_thread(int procs, bool with_calls) {
  const with_procs set(procs);
  const auto most = static_cast<std::uint64_t>(procs + limits::hogs_beside);
  const std::uint64_t before = read_counters().rescues;
  std::atomic<bool> stop{false};
  std::vector<fiber*> hogs;
  for (std::uint64_t i = 0; i < 4 * most; ++i) {
    hogs.push_back(spawn_fiber([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        if (with_calls) const runtime_section section;
      }
    }));
  }
  while (read_counters().rescues - before < most) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  // The rescues beyond `most` come later and later, and never sooner than this.
  const std::int64_t since = platform::now_ns();
  while (read_counters().rescues - before < most + 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_GE(platform::now_ns() - since, limits::hog_beyond_waits_ns / 2) << procs << " Ps";
  stop = true;
  for (fiber* hog : hogs) join(hog);
}

TEST(Rescue, NotEachOfManyThatComputeGetsAThread) {
  for (const int n : {1, 2}) not_each_gets_a_thread(n, false);
}

TEST(Rescue, NorOfManyThatMakeCallsWhichNeverSwitch) {
  for (const int n : {1, 2}) not_each_gets_a_thread(n, true);
}

// A fiber that computed once and now sleeps in an undeclared call does not count as a hog. Another fiber that computes
// is relieved as soon as the first was.
TEST(Rescue, WhoComputedOnceIsNoHogForEver) {
  {
    const int n = 1;  // with more, the other fibers may all be in the queue of a P that no hog keeps
    const with_procs set(n);
    const int many = n + limits::hogs_beside + 2;
    std::vector<pipe_pair> pipes(static_cast<std::size_t>(many));
    std::vector<fiber*> sleepers;
    for (auto& p : pipes) {
      const std::uint64_t before = read_counters().rescues;
      std::atomic<bool> computes{true};
      // Other fibers wait all the time; otherwise no fiber would be relieved.
      std::vector<fiber*> others;
      for (int i = 0; i < n; ++i) {
        others.push_back(spawn_fiber([&] {
          while (computes) yield();
        }));
      }
      sleepers.push_back(spawn_fiber([&p, &computes, before] {
        while (read_counters().rescues == before) {
        }
        computes = false;
        char c = 0;
        EXPECT_EQ(::read(p.fds[0], &c, 1), 1);
      }));
      for (fiber* f : others) join(f);
      // The monitor has seen this fiber's thread sleep before the next fiber begins.
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    // The CPU time of the hog counts, not the clock: others may be busy on this machine.
    std::atomic<bool> relieved{false};
    std::int64_t computed_ns = 0;
    fiber* const hog = spawn_fiber([&] {
      const auto tid = platform::thread_id();
      const std::int64_t began = platform::thread_cpu_ns(tid);
      while (!relieved.load(std::memory_order_relaxed)) {
      }
      computed_ns = platform::thread_cpu_ns(tid) - began;
    });
    join(spawn_fiber([&] { relieved = true; }));
    join(hog);
    // If all of them counted, the fiber would have waited as long as the last of a crowd.
    EXPECT_LT(computed_ns, 20 * limits::time_slice_ns);
    for (auto& p : pipes) EXPECT_EQ(::write(p.fds[1], "x", 1), 1);
    for (fiber* f : sleepers) join(f);
  }
}

// More fibers spin for a flag than get a thread soon. The fiber that sets the flag needs a P.
int spin_for_a_fiber() {
  settings s;
  s.procs = 1;
  start(s);
  std::atomic<bool> flag{false};
  std::vector<fiber*> spinners;
  for (int i = 0; i < limits::hogs_beside + 5; ++i) {
    spinners.push_back(spawn_fiber([&] {
      while (!flag.load(std::memory_order_relaxed)) {
      }
    }));
  }
  fiber* const setter = spawn_fiber([&] { flag = true; });
  join(setter);
  for (fiber* f : spinners) join(f);
  return 0;
}

TEST_F(RescueDeathTest, ACrowdOfSpinnersIsNamedAndGetsOn) {
  EXPECT_EXIT(std::_Exit(spin_for_a_fiber()), testing::ExitedWithCode(0),
              "fibers compute and make no call that may switch, and others wait for the CPUs: fiber [0-9]+, fiber "
              "[0-9]+");
}

// A hog beside other fibers: once its P has been taken, it is told to give way at its next call that may switch.
bool hog_is_told() {
  std::atomic<bool> told{false};
  std::atomic<bool> ended{false};
  fiber* const hog = spawn_fiber([&] {
    const machine* const m = this_machine();
    const std::uint64_t before = read_counters().rescues;
    while (read_counters().rescues == before) {
    }
    const std::int64_t give_up = platform::now_ns() + baton_test::for_ever_ns;
    while (!told && platform::now_ns() < give_up) told = m->baton.slice_is_over();
    ended = true;
  });
  fiber* const other = spawn_fiber([&] {
    while (!ended) yield();
  });
  join(hog);
  join(other);
  return told;
}

// A monitor does not watch the hogs that the previous monitor watched when it was ended.
int tell_hogs_after_shutdowns() {
  for (int round = 0; round < 10; ++round) {
    settings s;
    s.procs = 1;
    start(s);
    if (!hog_is_told()) return 1;
    char why[200];
    while (!shut_down(why)) {
    }
  }
  // The last hog's mark was cleared when the monitor examined its M, or when another monitor began.
  start(settings{});
  on_fiber([] {});
  return baton_test::eventually([] { return slices_over.unhandled.load(mo::relaxed) == 0; }) ? 0 : 2;
}

TEST_F(RescueDeathTest, AfterAShutdownHogsAreToldAsBefore) {
  EXPECT_EXIT(std::_Exit(tell_hogs_after_shutdowns()), testing::ExitedWithCode(0), "");
}

// The P may go at any moment, also while user code holds a lock of its own.
TEST(Rescue, HoldingALock) {
  const with_procs one(1);
  std::mutex m;
  pipe_pair p;
  std::atomic<int> got{0};
  fiber* const holder = spawn_fiber([&] {
    const std::lock_guard guard(m);
    char c = 0;
    EXPECT_EQ(::read(p.fds[0], &c, 1), 1);
    got.fetch_add(1);
  });
  std::vector<fiber*> others;
  for (int i = 0; i < 3; ++i) {
    others.push_back(spawn_fiber([&] {
      const std::lock_guard guard(m);  // blocks its thread, too, and is relieved, too
      got.fetch_add(1);
    }));
  }
  fiber* const writer = spawn_fiber([&] { EXPECT_EQ(::write(p.fds[1], "x", 1), 1); });
  join(holder);
  for (fiber* f : others) join(f);
  join(writer);
  EXPECT_EQ(got.load(), 4);
}

TEST(Rescue, InADestructorANoexceptFunctionAndACatchBlock) {
  const with_procs one(1);
  pipe_pair p;
  const auto block = [&]() noexcept {
    char c = 0;
    EXPECT_EQ(::read(p.fds[0], &c, 1), 1);
    yield();  // now it may be on another thread
  };
  fiber* const f = spawn_fiber([&] {
    struct blocks_at_the_end {
      const decltype(block)& b;
      ~blocks_at_the_end() { b(); }
    };
    try {
      const blocks_at_the_end guard{block};
      throw 7;  // the destructor runs while the exception propagates
    } catch (int x) {
      block();
      EXPECT_EQ(x, 7);
      try {
        throw;
      } catch (int y) {
        EXPECT_EQ(y, 7);
      }
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  });
  fiber* const writer = spawn_fiber([&] { EXPECT_EQ(::write(p.fds[1], "xx", 2), 2); });
  join(f);
  join(writer);
}

int slow_to_build() {
  std::atomic<bool> ran{false};
  fiber* const f = spawn_fiber([&] { ran = true; });
  while (!ran) ::usleep(100);  // undeclared
  join(f);
  return 42;
}

TEST(Rescue, InAStaticInitialiser) {
  const with_procs one(1);
  fiber* const first = spawn_fiber([] {
    static const int value = slow_to_build();
    EXPECT_EQ(value, 42);
  });
  join(first);
}

TEST_F(RescueDeathTest, CanBeSwitchedOff) {
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 1;
        s.rescue = false;
        start(s);
        std::atomic<int> turns{0};
        std::atomic<bool> done{false};
        fiber* const other = spawn_fiber([&] {
          for (; !done; yield()) turns.fetch_add(1);
        });
        on_fiber([&] {
          while (turns == 0) yield();
          const int before = turns;
          ::usleep(100'000);
          if (turns != before) std::_Exit(1);  // another fiber ran
          done = true;
        });
        join(other);
        std::_Exit(read_counters().rescues == 0 ? 0 : 2);
      },
      testing::ExitedWithCode(0), "");
}

// Eight fibers on two Ps that yield while `meanwhile` runs. Exit code 0: no P was rescued.
template <class F>
int yielding_while(F meanwhile) {
  settings s;
  s.procs = 2;
  start(s);
  std::atomic<bool> done{false};
  std::vector<fiber*> fibers;
  for (int i = 0; i < 8; ++i) {
    fibers.push_back(spawn_fiber([&] {
      while (!done) yield();
    }));
  }
  meanwhile();
  done = true;
  for (fiber* f : fibers) join(f);
  const auto rescues = read_counters().rescues;
  if (rescues != 0) std::fprintf(stderr, "%llu rescues\n", static_cast<unsigned long long>(rescues));
  return rescues == 0 ? 0 : 3;
}

// When a process that was stopped continues, it looks as if every fiber had been in one call for all that time.
int stopped_and_continued() {
  return yielding_while([] {
    for (int i = 0; i < 5; ++i) ::raise(SIGSTOP);
  });
}

TEST_F(RescueDeathTest, StoppedAndContinuedProcessesAreNotRescued) {
  EXPECT_EXIT(
      {
        const pid_t child = ::fork();  // before the runtime has started
        if (child == 0) std::_Exit(stopped_and_continued());
        int status = 0;
        while (::waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
          ::usleep(100'000);
          ::kill(child, SIGCONT);
        }
        std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 4);
      },
      testing::ExitedWithCode(0), "");
}

// In a group that gets a fifth of a CPU, all threads stop for 80 ms at a time.
int throttled() {
  return yielding_while([] { ::sleep(1); });
}

bool write_to(const std::string& path, const std::string& text) {
  std::FILE* const f = std::fopen(path.c_str(), "w");
  if (f == nullptr) return false;
  const bool good = std::fputs(text.c_str(), f) >= 0;
  return std::fclose(f) == 0 && good;
}

TEST_F(RescueDeathTest, ThrottledGroupsAreNotRescued) {
  if (std::getenv("BATON_TEST_INSIDE") != nullptr) {
    EXPECT_EQ(throttled(), 0);
    return;
  }
  const std::string v1 = "/sys/fs/cgroup/cpu/baton_test." + std::to_string(::getpid());
  const std::string v2 = "/sys/fs/cgroup/baton_test." + std::to_string(::getpid());
  std::string group;
  if (::mkdir(v1.c_str(), 0755) == 0 && write_to(v1 + "/cpu.cfs_period_us", "100000") &&
      write_to(v1 + "/cpu.cfs_quota_us", "20000")) {
    group = v1;
  } else if (::mkdir(v2.c_str(), 0755) == 0 && write_to(v2 + "/cpu.max", "20000 100000")) {
    group = v2;
  }
  if (!group.empty()) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (!write_to(group + "/cgroup.procs", std::to_string(::getpid()))) ::_exit(9);
      // Runs this test in a process of its own, which has never had a runtime.
      ::setenv("BATON_TEST_INSIDE", "1", 1);
      ::execl("/proc/self/exe", "sched_test", "--gtest_filter=RescueDeathTest.ThrottledGroupsAreNotRescued",
              "--gtest_brief=1", "--gtest_output=", nullptr);
      ::_exit(9);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 9) {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
      std::ifstream stat(group + "/cpu.stat");
      long throttled_periods = 0;
      for (std::string word; stat >> word;) {
        if (word == "nr_throttled") stat >> throttled_periods;
      }
      EXPECT_GT(throttled_periods, 0);
    } else {
      group.clear();
    }
  }
  ::rmdir(v1.c_str());
  ::rmdir(v2.c_str());
  if (group.empty()) GTEST_SKIP() << "no cgroup to be made here";
}
}  // namespace
