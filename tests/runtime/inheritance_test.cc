// What the runtime sets for itself does not reach user code, nor what user code starts: processes, threads, fibers.
#include "good_child.h"

#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/on_cancel.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/timer.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <pthread.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cfenv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace {

using namespace std::chrono_literals;

class InheritanceDeathTest : public testing::Test {
 protected:
  InheritanceDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
}

// Each of these starts a program and waits for it. A program is a shell's command line, its words, and the place of its
// output.
struct program {
  const char* line;
  std::vector<const char*> words;
};

void by_system(const program& p, int out) {
  const std::string line = "{ " + std::string(p.line) + "; } >&" + std::to_string(out);
  CHECK(std::system(line.c_str()) != -1);
}

void by_posix_spawn(const program& p, int out) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  std::vector<const char*> words = p.words;
  words.push_back(nullptr);
  pid_t child = 0;
  CHECK(::posix_spawnp(&child, words[0], &actions, nullptr, const_cast<char**>(words.data()), environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  wait_for(child);
}

void by_fork_and_exec(const program& p, int out) {
  std::vector<const char*> words = p.words;
  words.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out, 1);
    ::execvp(words[0], const_cast<char**>(words.data()));
    ::_exit(127);
  }
  CHECK(child > 0);
  wait_for(child);
}

void by_a_thread(const program& p, int out) {
  std::thread([&] { by_posix_spawn(p, out); }).join();
}

using starter = void (*)(const program&, int);

std::string output_of(const program& p, starter start) {
  int ends[2];
  CHECK(::pipe(ends) == 0);
  start(p, ends[1]);
  ::close(ends[1]);
  std::string text;
  char part[512];
  for (;;) {
    const ssize_t n = ::read(ends[0], part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(part, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  return text;
}

// Returns what a child blocks, whether it ignores SIGPIPE (the C library ignores others in some children), its timer
// slack.
std::string state_of_child(starter start) {
  const std::string text = output_of(
      {"cat /proc/self/status /proc/self/timerslack_ns", {"cat", "/proc/self/status", "/proc/self/timerslack_ns"}},
      start);
  const auto blocked = text.find("SigBlk:");
  const auto ignored = text.find("SigIgn:");
  CHECK(blocked != text.npos && ignored != text.npos);
  const bool sigpipe = (std::strtoull(text.c_str() + ignored + 7, nullptr, 16) >> (SIGPIPE - 1) & 1) != 0;
  return text.substr(blocked, ignored - blocked) + (sigpipe ? "SIGPIPE is ignored\n" : "") +
         text.substr(text.rfind('\n', text.size() - 2));
}

void children_are_as_those_of_main() {
  constexpr starter starters[] = {by_system, by_posix_spawn, by_fork_and_exec, by_a_thread};
  std::vector<std::string> right;
  for (const starter s : starters) right.push_back(state_of_child(s));
  baton::run([&] {
    for (std::size_t i = 0; i < right.size(); ++i) {
      CHECK(state_of_child(starters[i]) == right[i]);
      CHECK(baton::blocking([&] { return state_of_child(starters[i]); }) == right[i]);
    }
  });
}

TEST_F(InheritanceDeathTest, ChildrenOfFibersHaveTheSignalsAndTheTimerSlackOfThoseOfMain) {
  EXPECT_GOOD_CHILD(children_are_as_those_of_main);
}

void block(int signal) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  CHECK(::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
}

bool is_blocked(int signal) {
  sigset_t now;
  CHECK(::pthread_sigmask(SIG_SETMASK, nullptr, &now) == 0);
  return ::sigismember(&now, signal) == 1;
}

TEST_F(InheritanceDeathTest, WhatTheProgramBlocksIsBlockedInFibersToo) {
  EXPECT_GOOD_CHILD([] {
    block(SIGUSR2);
    children_are_as_those_of_main();
    baton::run([] {
      CHECK(is_blocked(SIGUSR2));
      CHECK(!is_blocked(SIGUSR1));
    });
  });
}

TEST_F(InheritanceDeathTest, WhatOnlyTheStartingThreadBlocksIsNot) {
  EXPECT_GOOD_CHILD([] {
    std::thread([] {
      block(SIGTERM);
      block(SIGUSR2);
      baton::run([] {
        CHECK(!is_blocked(SIGTERM));
        CHECK(!is_blocked(SIGUSR2));
      });
      CHECK(is_blocked(SIGTERM));
    }).join();
  });
}

TEST_F(InheritanceDeathTest, TheMaskIsThatOfTheLatestStart) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] { CHECK(!is_blocked(SIGUSR2)); });
    CHECK(baton::shutdown().ok());
    block(SIGUSR2);
    baton::run([] { CHECK(is_blocked(SIGUSR2)); });
  });
}

TEST_F(InheritanceDeathTest, RaiseInAFiberEndsTheProcess) {
  EXPECT_EXIT(baton::run([] { std::raise(SIGTERM); }), testing::KilledBySignal(SIGTERM), "");
}

std::atomic<pthread_t> handled_by;

TEST_F(InheritanceDeathTest, RaiseInAFiberRunsTheHandlerThereAndThen) {
  EXPECT_GOOD_CHILD([] {
    struct sigaction action {};
    action.sa_handler = [](int) { handled_by = ::pthread_self(); };
    for (const int flags : {0, SA_ONSTACK}) {
      action.sa_flags = flags;
      CHECK(::sigaction(SIGUSR1, &action, nullptr) == 0);
      baton::run([] {
        baton::blocking([] {
          handled_by = pthread_t{};
          std::raise(SIGUSR1);
          CHECK(::pthread_equal(handled_by, ::pthread_self()) != 0);
        });
      });
    }
  });
}

TEST_F(InheritanceDeathTest, ThreadsMadeInAFiberHaveTheTimerSlackOfTheProcess) {
  EXPECT_GOOD_CHILD([] {
    CHECK(::prctl(PR_SET_TIMERSLACK, 123'456, 0, 0, 0) == 0);
    baton::run([] {
      CHECK(::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) == 123'456);
      std::thread([] {
        CHECK(::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) == 123'456);
        CHECK(::prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0) == 0);  // back to its default
        CHECK(::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) == 123'456);
      }).join();
    });
  });
}

// SIGPIPE.

using handler = void (*)(int);

handler sigpipe_handler() {
  struct sigaction now {};
  CHECK(::sigaction(SIGPIPE, nullptr, &now) == 0);
  return now.sa_handler;
}

void write_where_nobody_reads() {
  int ends[2];
  CHECK(::pipe(ends) == 0);
  ::close(ends[0]);
  CHECK(::write(ends[1], "x", 1) == -1 && errno == EPIPE);
  ::close(ends[1]);
}

TEST_F(InheritanceDeathTest, SigpipeEndsChildrenButNotTheProcess) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] {
      baton::blocking(write_where_nobody_reads);
      for (const starter start : {by_posix_spawn, by_fork_and_exec}) {
        const program shows = {"", {"sh", "-c", "sh -c 'kill -PIPE $$'; echo $?"}};
        CHECK(output_of(shows, start) == "141\n");
      }
    });
  });
}

TEST_F(InheritanceDeathTest, SigpipeIsAsBeforeAfterShutdown) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] { CHECK(sigpipe_handler() != SIG_DFL); });
    CHECK(baton::shutdown().ok());
    CHECK(sigpipe_handler() == SIG_DFL);
    baton::run([] { CHECK(sigpipe_handler() != SIG_DFL); });
    std::signal(SIGPIPE, SIG_IGN);
    CHECK(baton::shutdown().ok());
    CHECK(sigpipe_handler() == SIG_IGN);
    baton::run([] { CHECK(sigpipe_handler() == SIG_IGN); });
  });
}

TEST_F(InheritanceDeathTest, SigpipeStaysTheProgramsOwnIfItIsTo) {
  EXPECT_GOOD_CHILD([] {
    baton::options o;
    o.ignore_sigpipe = false;
    baton::run([] { CHECK(sigpipe_handler() == SIG_DFL); }, o);
  });
}

TEST_F(InheritanceDeathTest, SigpipeThatWasIgnoredBeforeTheStartIsOutlivedAfterAReset) {
  EXPECT_GOOD_CHILD([] {
    baton::os_signals::ignore({SIGPIPE});
    baton::run([] {
      baton::os_signals::reset({SIGPIPE});
      write_where_nobody_reads();
    });
    CHECK(baton::shutdown().ok());
    CHECK(sigpipe_handler() == SIG_DFL);
    // An action that the program has set itself is not taken for the runtime's either.
    baton::run([] {
      std::signal(SIGPIPE, SIG_DFL);
      baton::os_signals::ignore({SIGPIPE});
      baton::os_signals::reset({SIGPIPE});
      CHECK(sigpipe_handler() == SIG_DFL);
    });
  });
}

// Floating-point modes.

TEST_F(InheritanceDeathTest, WhatServesAllHasNotTheFloatingPointModeOfTheFirstUser) {
  EXPECT_GOOD_CHILD([] {
    std::fesetround(FE_TOWARDZERO);  // the mode of the thread that starts the runtime
    baton::run([] {
      CHECK(std::fegetround() == FE_TOWARDZERO);
      baton::spawn([] {
        std::fesetround(FE_UPWARD);
        baton::event called;
        int mode = -1;
        auto t = baton::after_func(1ms, [&] {
          mode = std::fegetround();
          called.set();
        });
        called.wait();
        CHECK(mode == FE_TONEAREST);
        baton::event cancelled;
        auto ctx = baton::with_cancel(baton::context::background());
        const baton::on_cancel call(ctx, [&] {
          mode = 10 + std::fegetround();
          cancelled.set();
        });
        ctx.cancel();
        cancelled.wait();
        CHECK(mode == 10 + FE_TONEAREST);
        CHECK(std::fegetround() == FE_UPWARD);
      }).join();
      CHECK(std::fegetround() == FE_TOWARDZERO);
    });
  });
}

TEST_F(InheritanceDeathTest, AFiberHasTheFloatingPointModeOfItsMakerAndKeepsItsOwn) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] {
      baton::event go_on;
      auto other = baton::spawn([&] {
        std::fesetround(FE_DOWNWARD);
        auto child = baton::spawn([] { return std::fegetround(); });
        CHECK(child.join() == FE_DOWNWARD);
        go_on.wait();
        CHECK(std::fegetround() == FE_DOWNWARD);
      });
      for (int i = 0; i < 10; ++i) baton::this_fiber::yield();
      CHECK(std::fegetround() == FE_TONEAREST);
      std::fesetround(FE_UPWARD);
      go_on.set();
      other.join();
      CHECK(std::fegetround() == FE_UPWARD);
    });
  });
}

// The child of a fork ends by exit().

template <class Fork>
void exits_at_once(Fork&& fork) {
  const pid_t child = fork();
  if (child == 0) {
    ::close(STDERR_FILENO);  // exit() reports there what is left
    std::exit(42);
  }
  CHECK(child > 0);
  int status = 0;
  rusage used{};
  while (::wait4(child, &status, 0, &used) < 0) CHECK(errno == EINTR);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
  CHECK(used.ru_utime.tv_sec + used.ru_stime.tv_sec < 2);  // it did not wait for threads that it does not have
}

TEST_F(InheritanceDeathTest, ExitInAForkedChildWaitsForNoFiber) {
#if BATON_ASAN
  GTEST_SKIP() << "in the child LeakSanitizer does not see the stacks of the parent's threads, and what they own leaks";
#endif
  EXPECT_GOOD_CHILD([] {
    baton::options quiet;  // suppresses reports about forks that take long
    quiet.rescue = false;
    baton::run([] {}, quiet);
    static baton::event never;
    static auto waits = baton::spawn([] { never.wait(); });  // its destructor would join
    baton::run([] {});  // statics that are made from here on are destroyed after the fibers have been stopped
    baton::run([] {
      std::atomic<bool> stop = false;
      auto busy = baton::spawn([&] {
        while (!stop) baton::this_fiber::yield();
      });
      for (int i = 0; i < 3; ++i) {
        exits_at_once(::fork);
        baton::blocking([] { exits_at_once(::fork); });
        std::thread([] { exits_at_once(::fork); }).join();
      }
      stop = true;
      busy.join();
    });
    exits_at_once(::fork);
    never.set();
    waits.join();
  });
}

TEST_F(InheritanceDeathTest, PthreadExitInAFiberIsAnError) {
#if BATON_TSAN
  GTEST_SKIP() << "ThreadSanitizer aborts in pthread_exit on a stack that is not the thread's own";
#endif
  const char* const message = "fiber [0-9]+.*: pthread_exit or pthread_cancel would end a thread";
  EXPECT_DEATH(baton::run([] { ::pthread_exit(nullptr); }), message);
  EXPECT_DEATH(baton::run([] {
                 baton::go([] { ::pthread_exit(nullptr); });
                 baton::event().wait();
               }),
               message);
}

}  // namespace
