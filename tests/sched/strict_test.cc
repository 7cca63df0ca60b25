// Strict mode: a call that blocks undeclared is reported although nothing waits for its fiber's P. The calls end only
// after their report has come.
#include "on_fiber.h"
#include "own_process.h"

#include <baton/sched/counters.h>
#include <baton/sched/machine.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/strict_watch.h>

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

namespace careless {

__attribute__((noinline)) void reads_a_byte(int fd) {
  char c = 0;
  while (::read(fd, &c, 1) != 1) {
  }
  asm volatile("" ::: "memory");
}

__attribute__((noinline)) void polls_for_a_byte(int fd) {
  pollfd what{fd, POLLIN, 0};
  ::poll(&what, 1, -1);
  asm volatile("" ::: "memory");
}

}  // namespace careless

namespace {

using namespace baton::sched;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;

struct pipe_pair {
  pipe_pair() {
    if (::pipe(fds) != 0) std::abort();
  }
  ~pipe_pair() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  void give_a_byte() const {
    if (::write(fds[1], "x", 1) != 1) std::abort();
  }
  int fds[2];
};

// What the process writes to stderr from now on. Requires: the runtime has not started.
class reports {
 public:
  reports() { ::dup2(pipe_.fds[1], STDERR_FILENO); }
  // Waits until the text has come. Ends the process with this code if it does not come.
  void wait_for(const char* text, int code) {
    while (said_.find(text) == std::string::npos) {
      pollfd what{pipe_.fds[0], POLLIN, 0};
      char some[4096];
      const ssize_t n = ::poll(&what, 1, 20'000) == 1 ? ::read(pipe_.fds[0], some, sizeof some) : 0;
      if (n <= 0) std::_Exit(code);
      said_.append(some, static_cast<std::size_t>(n));
    }
  }
  [[nodiscard]] bool holds(const char* text) const { return said_.find(text) != std::string::npos; }

 private:
  pipe_pair pipe_;
  std::string said_;
};

settings strict(int procs) {
  settings s;
  s.procs = procs;
  s.strict_blocking = true;
  return s;
}

class StrictDeathTest : public baton_test::own_process_test {};

[[noreturn]] void one_that_reads(const settings& s) {
  reports said;
  start(s);
  const pipe_pair p;
  fiber* const f = spawn_fiber([&] { careless::reads_a_byte(p.fds[0]); }, true, "reader");
  said.wait_for("in baton::blocking()", 1);
  if (!said.holds("\"reader\" blocked its thread for ") || !said.holds(" in undeclared read (syscall ")) std::_Exit(2);
  if (!said.holds("P not handed on (strict mode)")) std::_Exit(3);
  p.give_a_byte();
  join(f);
  if (read_counters().strict_reports != 1) std::_Exit(5);
  std::_Exit(read_counters().rescues == 0 ? 0 : 4);
}

TEST_F(StrictDeathTest, AReadIsReportedWhileNothingWaitsAndKeepsItsP) {
  for (const int procs : {1, 2, 8}) EXPECT_EXIT(one_that_reads(strict(procs)), testing::ExitedWithCode(0), "") << procs;
}

TEST_F(StrictDeathTest, TheEnvironmentSwitchesItOn) {
  EXPECT_EXIT(
      {
        ::setenv("BATON_STRICT", "1", 1);
        settings s;
        s.procs = 2;
        one_that_reads(s);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(StrictDeathTest, ItNeedsNoRescue) {
  EXPECT_EXIT(
      {
        settings s = strict(2);
        s.rescue = false;
        one_that_reads(s);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(StrictDeathTest, EachCallOfOneVisitIsReported) {
  EXPECT_EXIT(
      {
        reports said;
        start(strict(2));
        const pipe_pair first;
        const pipe_pair second;
        fiber* const f = spawn_fiber([&] {
          careless::reads_a_byte(first.fds[0]);
          careless::polls_for_a_byte(second.fds[0]);
        });
        said.wait_for("undeclared read", 1);
        first.give_a_byte();
        said.wait_for("undeclared poll", 2);
        second.give_a_byte();
        join(f);
        std::_Exit(read_counters().strict_reports == 2 ? 0 : 3);
      },
      testing::ExitedWithCode(0), "");
}

// A reader whose P is wanted by another fiber: the P is taken. Returns how often strict mode has counted.
std::uint64_t one_that_is_rescued(const settings& s) {
  reports said;
  start(s);
  const pipe_pair p;
  std::atomic<bool> reading{false};
  fiber* const f = spawn_fiber([&] {
    reading = true;
    careless::reads_a_byte(p.fds[0]);
  });
  while (!reading) std::this_thread::yield();
  fiber* const other = spawn_fiber([] {});
  join(other);
  said.wait_for("undeclared read", 1);  // perhaps before it has lost its P
  p.give_a_byte();
  join(f);
  if (read_counters().rescues != 1) std::_Exit(2);
  return read_counters().strict_reports;
}

TEST_F(StrictDeathTest, ACallWhosePIsTakenCountsToo) {
  EXPECT_EXIT(std::_Exit(one_that_is_rescued(strict(1)) == 1 ? 0 : 3), testing::ExitedWithCode(0), "");
}

TEST_F(StrictDeathTest, WithoutItNothingCounts) {
  EXPECT_EXIT(
      {
        settings s;
        s.procs = 1;
        std::_Exit(one_that_is_rescued(s) == 0 ? 0 : 3);
      },
      testing::ExitedWithCode(0), "");
}

// The fibers wait behind one that is blocked: they are stolen, or the P is rescued.
TEST_F(StrictDeathTest, WorkGoesOn) {
  EXPECT_EXIT(
      {
        reports said;
        start(strict(2));
        const pipe_pair p;
        std::atomic<int> ended{0};
        on_fiber([&] {
          for (int i = 0; i < 100; ++i) {
            spawn_fiber(
                [&] {
                  if (++ended == 100) p.give_a_byte();
                },
                false);
          }
          careless::reads_a_byte(p.fds[0]);
        });
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(StrictWatch, AFiberThatComputesIsNotDue) {
  std::atomic<machine*> on{nullptr};
  std::atomic<bool> stop{false};
  fiber* const f = spawn_fiber([&] {
    on = this_machine();
    while (!stop) {
    }
  });
  while (on == nullptr) std::this_thread::yield();
  const std::int32_t tid = on.load()->tid.load(mo::relaxed);
  constexpr std::int64_t after = 10'000'000;
  strict_watch watch;
  watch.begin(after);
  const baton_word::visit v = on.load()->baton.judge();
  for (std::int64_t age = after; age <= 3 * after; age += after) {
    EXPECT_FALSE(watch.is_due(*on, 0, v, age - after / 2, platform::now_ns())) << "the first look";
    const std::int64_t before = platform::thread_cpu_ns(tid);
    while (platform::thread_cpu_ns(tid) - before < after) std::this_thread::yield();
    EXPECT_FALSE(watch.is_due(*on, 0, v, age, platform::now_ns()));
  }
  stop = true;
  join(f);
}

TEST(StrictWatch, ABlockedOneIsDueWhenItIsTwiceAsOldAndAfterALostSweepLater) {
  const pipe_pair p;
  std::atomic<machine*> on{nullptr};
  fiber* const f = spawn_fiber([&] {
    on = this_machine();
    careless::reads_a_byte(p.fds[0]);
  });
  while (on == nullptr) std::this_thread::yield();
  const std::int32_t tid = on.load()->tid.load(mo::relaxed);
  while (platform::thread_call(tid).number != SYS_read) std::this_thread::yield();
  constexpr std::int64_t after = 10'000'000;
  strict_watch watch;
  watch.begin(after);
  const baton_word::visit v = on.load()->baton.judge();
  const std::int64_t now = platform::now_ns();
  const auto due = [&](std::int64_t age) { return watch.is_due(*on, 0, v, age, now + age); };
  EXPECT_FALSE(due(after / 2));
  EXPECT_TRUE(due(after));
  EXPECT_FALSE(due(after + after / 4));
  EXPECT_FALSE(due(after + after / 2));
  EXPECT_TRUE(due(2 * after));
  EXPECT_FALSE(due(7 * after / 2));
  watch.forget();
  EXPECT_FALSE(due(4 * after)) << "what was seen before counts no more";
  EXPECT_TRUE(due(5 * after));
  p.give_a_byte();
  join(f);
}

}  // namespace
