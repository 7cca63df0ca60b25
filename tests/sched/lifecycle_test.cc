// exit(), fork(), names in reports, refused memory and the fallback without membarrier.
#include "on_fiber.h"

#include <baton/sched/counters.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/timer.h>

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

using namespace baton::sched;
using baton_test::flag;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;

// A static object that fibers use until the end. Its destructor would show that they still do.
struct used_static {
  std::atomic<std::uint64_t> value{0};
  std::atomic<bool> gone{false};
  ~used_static() {
    gone.store(true);
    // A fiber that still ran would see `gone`; these yields give it the chance.
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
  }
};

void keep_fibers_busy() {
  static used_static s;
  for (int i = 0; i < 20; ++i) {
    spawn_fiber(
        [] {
          for (;;) {
            s.value.fetch_add(1);
            if (s.gone.load()) {
              std::fprintf(stderr, "a fiber ran beside static destructors\n");
              std::_Exit(1);
            }
            yield();
          }
        },
        false);
  }
  while (s.value.load() < 1000) std::this_thread::yield();
}

TEST(ExitDeathTest, FromAPlainThreadWhileFibersRun) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        keep_fibers_busy();
        main_returned();
        std::exit(7);
      },
      testing::ExitedWithCode(7), "");
}

TEST(ExitDeathTest, FromAFiberWhileOthersRun) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        keep_fibers_busy();
        main_returned();
        on_fiber([] { std::exit(7); });
      },
      testing::ExitedWithCode(7), "");
}

int status_of_child(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(Fork, TheChildMayExecAndExit) {
  on_fiber([] {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/bin/true", "true", nullptr);
      ::_exit(1);
    }
    const int status = status_of_child(child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
  });
}

// Reads what the child says through a pipe that is the child's stderr.
std::string last_words_of_child(void (*use_runtime)()) {
  int fds[2];
  if (::pipe(fds) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(fds[1], STDERR_FILENO);
    use_runtime();
    ::_exit(0);
  }
  ::close(fds[1]);
  std::string words;
  char buffer[256];
  for (ssize_t n; (n = ::read(fds[0], buffer, sizeof buffer)) > 0;) words.append(buffer, static_cast<std::size_t>(n));
  ::close(fds[0]);
  EXPECT_TRUE(WIFSIGNALED(status_of_child(child)));
  return words;
}

TEST(Fork, UsingTheRuntimeInTheChildSaysSo) {
  start({});
  const auto spawn_something = [] { static_cast<void>(spawn_fiber([] {})); };
  EXPECT_NE(last_words_of_child(spawn_something).find("child of a fork"), std::string::npos);
  on_fiber([] {
    const auto yield_once = [] { yield(); };
    EXPECT_NE(last_words_of_child(yield_once).find("child of a fork"), std::string::npos);
  });
}

void expect_well_in_child(bool (*is_well)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::_exit(is_well() ? 0 : 1);
  }
  const int status = status_of_child(child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// As the destructors do that exit() calls.
TEST(Fork, TheChildWaitsForNoLockThatAnotherThreadHeld) {
  start({});
  static platform::spin_lock lock;
  std::atomic<bool> held{false};
  std::atomic<bool> done{false};
  std::thread holder([&] {
    const platform::lock_guard hold(lock);
    held = true;
    held.notify_one();
    done.wait(false);
  });
  held.wait(false);
  expect_well_in_child([] {
    const platform::lock_guard hold(lock);
    return true;
  });
  done = true;
  done.notify_one();
  holder.join();
}

TEST(Fork, TimersAreCancelledInTheChild) {
  start({});
  static std::atomic<bool> fires;
  static std::atomic<bool> done;
  static timer_handle firing;
  static timer_handle armed;
  const timer_function callback = [](void*, std::uint64_t, fiber_list&) noexcept {
    fires = true;
    fires.notify_one();
    while (!done) std::this_thread::yield();
  };
  armed = arm_timer(platform::forever_ns - 1, callback, nullptr);
  on_fiber([] { expect_well_in_child([] { return cancel_timer(armed) && !cancel_timer(armed); }); });
  firing = arm_timer(0, callback, nullptr);
  fires.wait(false);
  expect_well_in_child([] { return !cancel_timer(firing) && cancel_timer(armed); });
  done = true;
  EXPECT_FALSE(cancel_timer(firing));
  EXPECT_TRUE(cancel_timer(armed));
}

TEST(Reports, FatalNamesTheFiber) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(join(spawn_fiber([] { fatal("something is %s", "wrong"); }, true, "culprit")),
               "baton: fiber [0-9]+ \"culprit\": something is wrong");
}

TEST(Reports, DumpNamesEveryFiberAndItsWait) {
  flag f;
  fiber* const waiting = spawn_fiber([&] { f.wait(); }, true, "the waiting one");
  while (read_counters().fibers_parked == 0) std::this_thread::yield();
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  dump_fibers(fds[1]);
  ::close(fds[1]);
  std::string dump;
  char buffer[256];
  for (ssize_t n; (n = ::read(fds[0], buffer, sizeof buffer)) > 0;) dump.append(buffer, static_cast<std::size_t>(n));
  ::close(fds[0]);
  f.set();
  join(waiting);
  EXPECT_NE(dump.find("\"the waiting one\" waits for something"), std::string::npos) << dump;
}

#if !BATON_ASAN && !BATON_TSAN
TEST(MemoryDeathTest, ARefusedStackIsAnAnswerAndTheProcessLivesOn) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        start({});
        rlimit limit;
        limit.rlim_cur = limit.rlim_max = std::size_t{600} << 20;
        ::setrlimit(RLIMIT_AS, &limit);
        // Joinable fibers that cannot start: this fiber holds the only P.
        on_fiber([] {
          std::vector<fiber*> fibers;
          fibers.reserve(100'000);
          flag go;
          for (;;) {
            const prepared_fiber p = prepare_fiber({{}, 8 << 20}, 1, 1);
            if (p.f == nullptr) break;
            static constexpr fiber_start start{.entry = [](fiber*, void*) noexcept {}};
            launch(p.f, start, true);
            fibers.push_back(p.f);
            if (fibers.size() == 100'000) std::_Exit(1);
          }
          for (fiber* f : fibers) join(f);
        });
        on_fiber([] {});
        std::_Exit(7);
      },
      testing::ExitedWithCode(7), "");
}
#endif

TEST(BarrierDeathTest, EverythingWorksWithoutMembarrier) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        ::setenv("BATON_NO_MEMBARRIER", "1", 1);
        std::atomic<int> ran{0};
        on_fiber([&] {
          for (int i = 0; i < 1000; ++i) {
            join(spawn_fiber([&] { ran.fetch_add(1); }));
          }
        });
        std::_Exit(ran.load() == 1000 && std::string(read_counters().barrier) == "fence" ? 7 : 1);
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace
