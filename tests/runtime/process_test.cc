// Child processes: exit status, signals, contexts, process groups, a hundred children at once, zombies.
#include "good_child.h"
#include "process_support.h"
#include "system_call_filter.h"

#include <baton/runtime/command.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/process.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/processes.h>

#include <gtest/gtest.h>

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton_test::sh;
using baton_test::threads_now;
namespace sys = baton::sys;

baton::context expired() { return baton::with_timeout(baton::context::background(), 0ms); }

std::string read_all(baton::pipe_reader& from) {
  std::string all;
  std::array<char, 512> part;
  for (;;) {
    const auto n = from.read(part);
    if (!n.ok() || *n == 0) return all;
    all.append(part.data(), *n);
  }
}

TEST(Process, ItsExitCodeArrivesAndEveryWaitGivesTheSame) {
  baton::run([] {
    for (const int code : {0, 1, 7, 255}) {
      auto child = sh("exit " + std::to_string(code)).start();
      ASSERT_TRUE(child.ok()) << child.status();
      for (int i = 0; i < 3; ++i) {
        const auto end = child->wait();
        ASSERT_TRUE(end.ok()) << end.status();
        EXPECT_TRUE(end->exited());
        EXPECT_EQ(end->code(), code);
        EXPECT_EQ(end->success(), code == 0);
        EXPECT_EQ(end->to_string(), "exit code " + std::to_string(code));
      }
      EXPECT_TRUE(child->has_ended());
      EXPECT_EQ(child->wait(expired())->code(), code);
    }
  });
}

TEST(Process, EverySignalThatEndsItArrives) {
  const rlimit no_core{0, 0};
  baton::run([&] {
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGPIPE,
                             SIGALRM, SIGTERM, SIGRTMIN + 3}) {
      auto cat = baton::command("cat");
      sys::child_attributes limits;
      limits.limits = {{RLIMIT_CORE, no_core}};
      cat.attributes(limits);
      auto in = cat.stdin_pipe();
      ASSERT_TRUE(in.ok());
      auto child = cat.start();
      ASSERT_TRUE(child.ok()) << child.status();
      EXPECT_TRUE(child->kill(0).ok());
      EXPECT_TRUE(child->kill(signal).ok());
      const auto end = child->wait();
      ASSERT_TRUE(end.ok()) << end.status();
      EXPECT_TRUE(end->signaled());
      EXPECT_EQ(end->signal(), signal);
      EXPECT_EQ(end->code(), -1);
    }
    EXPECT_EQ(baton::exit_status(SIGTERM).to_string(), "killed by SIGTERM");
    EXPECT_EQ(baton::exit_status(SIGSEGV | 0x80).to_string(), "killed by SIGSEGV, core dumped");
    EXPECT_TRUE(baton::exit_status(SIGSEGV | 0x80).core_dumped());
    EXPECT_FALSE(baton::exit_status(SIGSEGV).core_dumped());
    EXPECT_TRUE(sys::wait_status(W_STOPCODE(SIGTSTP)).stopped());
    EXPECT_EQ(sys::wait_status(W_STOPCODE(SIGTSTP)).to_string(), "stopped by SIGTSTP");
    EXPECT_EQ(sys::wait_status(0xffff).to_string(), "continued");
  });
}

TEST(Process, ACoreDumpIsSeen) {
  const std::string pattern = baton::read_file("/proc/sys/kernel/core_pattern").value_or("|");
  rlimit most{};
  ASSERT_EQ(0, ::getrlimit(RLIMIT_CORE, &most));
  if (most.rlim_max != RLIM_INFINITY || pattern.find_first_of("|/") != std::string::npos) {
    GTEST_SKIP() << "no core would lie in the program's directory";
  }
  baton::run([&] {
    std::string directory = testing::TempDir() + "baton_core_XXXXXX";
    ASSERT_NE(nullptr, ::mkdtemp(directory.data()));
    sys::child_attributes all;
    all.dir = directory;
    all.limits = {{RLIMIT_CORE, {RLIM_INFINITY, RLIM_INFINITY}}};
    baton::command c("/bin/sh", {"-c", "kill -ABRT $$"});
    const auto end = c.attributes(all).run();
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_TRUE(end->core_dumped());
    EXPECT_EQ("killed by SIGABRT, core dumped", end->to_string());
    EXPECT_EQ(1U, std::filesystem::remove_all(directory) - 1) << "the core";
  });
}

TEST(Process, AfterItsEndKillGivesEsrch) {
  baton::run([] {
    auto child = baton::command("true").process_group().start();
    ASSERT_TRUE(child.ok());
    EXPECT_TRUE(child->wait().ok());
    EXPECT_EQ(baton::errno_of(child->kill(SIGTERM)), ESRCH);
    EXPECT_EQ(baton::errno_of(child->kill_group(SIGTERM)), ESRCH);
    EXPECT_EQ(::kill(child->id(), 0), -1);  // no zombie
    baton::command cat("cat");
    auto in = cat.stdin_pipe();
    auto other = cat.start();
    ASSERT_TRUE(other.ok());
    EXPECT_EQ(other->kill_group(SIGTERM).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(baton::errno_of(other->kill(1000)), EINVAL);
    in->close();
    EXPECT_TRUE(other->wait().ok());
  });
}

TEST(Process, WhatItHasUsedIsKnownAfterItsEnd) {
  baton::run([] {
    baton::command cat("cat");
    auto in = cat.stdin_pipe();
    auto child = cat.start();
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_EQ(child->usage().status().code(), absl::StatusCode::kFailedPrecondition);
    in->close();
    EXPECT_TRUE(child->wait()->success());
    const auto used = child->usage();
    ASSERT_TRUE(used.ok()) << used.status();
    EXPECT_GT(used->ru_maxrss, 0);
  });
}

TEST(Process, AnEmptyOneSaysSo) {
  baton::process none;
  EXPECT_EQ(none.id(), 0);
  EXPECT_FALSE(none.has_ended());
  for (const absl::Status& s : {none.wait().status(), none.wait(baton::context::background()).status(),
                                none.kill(SIGTERM), none.kill_group(SIGTERM), none.detach(), none.usage().status()}) {
    EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition) << s;
  }
}

TEST(Process, AContextEndsItByTerm) {
  baton::run([] {
    auto child = baton::command("sleep", {"1000"}).start();
    ASSERT_TRUE(child.ok());
    auto ctx = baton::with_cancel(baton::context::background());
    auto waits = baton::spawn([&] { return child->wait(ctx); });
    auto waits_too = baton::spawn([&] { return child->wait(); });
    ctx.cancel();
    EXPECT_EQ(waits.join()->signal(), SIGTERM);
    EXPECT_EQ(waits_too.join()->signal(), SIGTERM);
  });
}

TEST(Process, OneThatDoesNotHeedTermIsKilledAfterTheGrace) {
  baton::run([] {
    baton::command deaf = sh("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    deaf.kill_grace(10ms);
    auto out = deaf.stdout_pipe();
    auto child = deaf.start();
    ASSERT_TRUE(child.ok());
    std::array<char, 16> part;
    ASSERT_TRUE(out->read(part).ok());  // the trap is set
    const auto end = child->wait(expired());
    ASSERT_TRUE(end.ok());
    EXPECT_EQ(end->signal(), SIGKILL);
  });
}

TEST(Process, AContextEndsTheWholeGroup) {
  baton::run([] {
    // The pipe is open until the last process of the group has ended.
    baton::command family = sh("sleep 1000 & echo ready; wait");
    family.process_group();
    auto out = family.stdout_pipe();
    auto child = family.start();
    ASSERT_TRUE(child.ok());
    std::array<char, 16> part;
    ASSERT_TRUE(out->read(part).ok());
    EXPECT_TRUE(child->wait(expired())->signaled());
    EXPECT_EQ(read_all(*out), "");
  });
}

// The child ends by SIGTERM at once; what it has started does not.
TEST(Process, AContextEndsAlsoThoseOfTheGroupThatOutliveTheChild) {
  baton::run([] {
    baton::command family = sh("exec 2>/dev/null; (trap '' TERM; echo ready; while :; do sleep 0.01; done) & wait");
    family.process_group().kill_grace(20ms);
    auto out = family.stdout_pipe();
    auto child = family.start();
    ASSERT_TRUE(child.ok());
    std::array<char, 16> part;
    ASSERT_TRUE(out->read(part).ok());
    EXPECT_EQ(child->wait(expired())->signal(), SIGTERM);
    EXPECT_EQ(read_all(*out), "");
  });
}

TEST(Process, TheGroupHasTheWholeGraceAlsoAfterTheChild) {
  baton::run([] {
    baton::command family = sh(
        "exec 2>/dev/null; (trap 'sleep 0.05; echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done) & wait");
    family.process_group().kill_grace(1h);
    auto out = family.stdout_pipe();
    auto child = family.start();
    ASSERT_TRUE(child.ok());
    std::array<char, 16> part;
    ASSERT_TRUE(out->read(part).ok());
    EXPECT_EQ(child->wait(expired())->signal(), SIGTERM);
    EXPECT_EQ(::kill(child->id(), 0), -1);  // no zombie
    EXPECT_EQ(read_all(*out), "bye\n");
  });
}

TEST(Process, AStoppedOneIsWaitedForUntilItEnds) {
  baton::run([] {
    auto child = baton::command("sleep", {"1000"}).start();
    ASSERT_TRUE(child.ok());
    EXPECT_TRUE(child->kill(SIGSTOP).ok());
    siginfo_t info{};
    const auto stopped = [&] { return ::waitid(P_PID, static_cast<id_t>(child->id()), &info, WSTOPPED | WNOWAIT); };
    ASSERT_EQ(baton::blocking(stopped), 0);
    EXPECT_EQ(info.si_code, CLD_STOPPED);
    EXPECT_FALSE(child->has_ended());
    EXPECT_TRUE(child->kill(SIGKILL).ok());
    EXPECT_EQ(child->wait()->signal(), SIGKILL);
  });
}

TEST(Process, APlainThreadStartsAndWaits) {
  auto child = baton::command("true").start();
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE(child->wait()->success());
  auto ends = baton::command("sleep", {"1000"}).start();
  ASSERT_TRUE(ends.ok());
  EXPECT_EQ(ends->wait(expired())->signal(), SIGTERM);
}

// Waits until no process has this id any more: it has been reaped.
void expect_reaped(::pid_t pid) {
  for (int i = 0; i < 20'000 && ::kill(pid, 0) == 0; ++i) baton::this_fiber::sleep_for(500us);
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Process, DroppedAndDetachedOnesLeaveNoZombie) {
  baton::run([] {
    ::pid_t dropped = 0;
    {
      auto child = baton::command("true").start();
      ASSERT_TRUE(child.ok());
      dropped = child->id();
    }
    expect_reaped(dropped);
    baton::command cat("cat");
    auto in = cat.stdin_pipe();
    auto child = cat.start();
    ASSERT_TRUE(child.ok());
    const ::pid_t detached = child->id();
    EXPECT_TRUE(child->detach().ok());
    EXPECT_EQ(child->id(), 0);
    EXPECT_EQ(::kill(detached, 0), 0);  // it runs on
    in->close();
    expect_reaped(detached);
  });
}

class ProcessDeathTest : public testing::Test {
 protected:
  ProcessDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Starts a hundred children that end when their standard input does, all at once. Returns the most threads that there
// were.
int most_threads_for_a_hundred() {
  std::atomic<int> most = 0;
  std::atomic<int> good = 0;
  std::atomic<bool> stop = false;
  std::thread looks([&] {
    while (!stop) {
      most = std::max(most.load(), threads_now() - 1);
      std::this_thread::sleep_for(1ms);
    }
  });
  baton::wait_group started;
  baton::wait_group ended;
  std::array<baton::pipe_writer, 100> inputs;
  for (auto& input : inputs) {
    started.add();
    ended.add();
    baton::go([&] {
      baton::command cat("/bin/cat");
      auto in = cat.stdin_pipe();
      if (in.ok()) input = *std::move(in);
      auto child = cat.start();
      started.done();
      if (child.ok() && child->wait()->success()) ++good;
      ended.done();
    });
  }
  started.wait();
  for (auto& input : inputs) input.close();
  ended.wait();
  stop = true;
  looks.join();
  CHECK(good == 100);
  return most;
}

TEST_F(ProcessDeathTest, AHundredAtOnceTakeFewerThanTenThreads) {
  EXPECT_GOOD_CHILD([] {
    baton::options two;
    two.procs = 2;
    baton::run([] { CHECK(most_threads_for_a_hundred() < 10); }, two);
  });
}

TEST_F(ProcessDeathTest, WhoIgnoresSigchldIsToldThatTheStatusIsLost) {
  EXPECT_GOOD_CHILD([] {
    std::signal(SIGCHLD, SIG_IGN);
    baton::run([] {
      auto child = baton::command("true").start();
      CHECK(child.ok());
      const auto end = child->wait();
      CHECK(baton::errno_of(end.status()) == ECHILD);
      CHECK(end.status().message().find("SIGCHLD") != std::string::npos);
      CHECK(baton::errno_of(child->wait().status()) == ECHILD);
      CHECK(baton::errno_of(child->usage().status()) == ECHILD);
      CHECK(baton::errno_of(child->kill(SIGTERM)) == ESRCH);
    });
  });
}

// Forbids pidfds to the whole process: the flag of clone, and the calls.
void forbid_pidfds() {
  CHECK(baton_test::filter_calls({{SYS_pidfd_open}, {SYS_pidfd_send_signal}, {SYS_clone, 0, CLONE_PIDFD, CLONE_PIDFD}},
                                 baton_test::fails_with(EPERM), SECCOMP_FILTER_FLAG_TSYNC) == 0);
}

TEST_F(ProcessDeathTest, WithoutPidfdsAllIsTheSame) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] {
      forbid_pidfds();
      CHECK(sys::pidfd_open(*sys::getpid()).error() == EPERM);
      auto good = sh("exit 3").start();
      CHECK(good.ok());
      CHECK(good->wait()->code() == 3);
      CHECK(baton::errno_of(good->kill(SIGTERM)) == ESRCH);
      auto killed = baton::command("sleep", {"1000"}).process_group().start();
      CHECK(killed.ok());
      CHECK(killed->kill(0).ok());
      CHECK(killed->wait(expired())->signal() == SIGTERM);
      CHECK(baton::errno_of(killed->kill_group(SIGTERM)) == ESRCH);
      CHECK(baton::command("echo", {"text"}).output().value() == "text\n");
    });
  });
}

TEST_F(ProcessDeathTest, AParkedReaperDoesNotKeepTheRuntimeUp) {
  EXPECT_GOOD_CHILD([] {
    ::pid_t pid = 0;
    baton::command cat("cat");
    baton::pipe_writer in;
    baton::run([&] {
      in = cat.stdin_pipe().value();
      auto child = cat.start();
      CHECK(child.ok());
      pid = child->id();
    });
    CHECK(baton::shutdown().ok());
    baton::run([&] {
      in.close();
      while (::kill(pid, 0) == 0) baton::this_fiber::sleep_for(500us);
    });
  });
}

TEST_F(ProcessDeathTest, APlainThreadThatWaitsKeepsTheRuntimeUpOrStartsItAgain) {
  EXPECT_GOOD_CHILD([] {
    baton::command cat("cat");
    baton::pipe_writer in;
    baton::process lives;
    baton::process ends;
    baton::run([&] {
      in = cat.stdin_pipe().value();
      lives = cat.start().value();
      ends = baton::command("true").start().value();
    });
    CHECK(baton::shutdown().ok());
    CHECK(ends.wait()->success());
    std::thread waits([&] { CHECK(lives.wait()->success()); });
    absl::Status s;
    do s = baton::shutdown();
    while (s.ok());
    CHECK(s.message().find("1 thread waits for a descriptor or a child") != std::string::npos);
    in.close();
    waits.join();
    CHECK(baton::shutdown().ok());
  });
}

}  // namespace
