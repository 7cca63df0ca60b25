// Commands: how a start fails, environment, attributes, output(). Their files and pipes are in command_streams_test.cc.
#include "process_support.h"

#include <baton/runtime/command.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/raw_syscall.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton_test::scratch;
using baton_test::sh;
namespace sys = baton::sys;

TEST(Command, AStartThatFailsSaysWhyAndLeavesNoChild) {
  const scratch s;
  const std::string plain = s.file("plain", "text", 0644);
  const std::string odd = s.file("odd", "neither ELF nor #!", 0755);
  ASSERT_EQ(::symlink("loop", s.path("loop").c_str()), 0);
  struct row {
    std::string program;
    std::vector<std::string> args;
    std::string dir;
    int error;
  };
  const std::vector<row> rows = {
      {"no-such-program-anywhere", {}, "", ENOENT},
      {"/no/such/program", {}, "", ENOENT},
      {"", {}, "", ENOENT},
      {plain, {}, "", EACCES},
      {"/tmp", {}, "", EACCES},
      {odd, {}, "", ENOEXEC},
      {"/bin/true", {std::string(200'000, 'x')}, "", E2BIG},
      {plain + "/below", {}, "", ENOTDIR},
      {s.path("loop"), {}, "", ELOOP},
      {"/" + std::string(5000, 'x'), {}, "", ENAMETOOLONG},
      {"/bin/true", {}, "/no/such/directory", ENOENT},
      {"/bin/true", {}, plain, ENOTDIR},
      {std::string("/bin/true\0x", 11), {}, "", EINVAL},
      {"/bin/true", {std::string("a\0b", 3)}, "", EINVAL},
      {"/bin/true", {}, std::string("/tmp\0x", 6), EINVAL},
  };
  baton::run([&] {
    for (const row& r : rows) {
      baton::command c(r.program, r.args);
      if (!r.dir.empty()) c.dir(r.dir);
      const auto child = c.start();
      EXPECT_EQ(baton::errno_of(child.status()), r.error) << child.status();
      if (r.error == ENOENT && !r.dir.empty()) {
        EXPECT_NE(child.status().message().find(r.dir), std::string::npos) << child.status();
      }
    }
    EXPECT_EQ(baton::errno_of(baton::command("true").env({std::string("A=\0", 3)}).start().status()), EINVAL);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // none was left
    EXPECT_EQ(errno, ECHILD);
  });
}

TEST(Command, WithoutDescriptorsAStartGivesEmfileAndLosesNone) {
  baton::run([] {
    rlimit former{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &former), 0);
    EXPECT_TRUE(baton::command("true").run()->success());  // whatever is made once
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    // From no free descriptor to enough of them.
    for (int more = 0; more < 8; ++more) {
      const rlimit few{static_cast<rlim_t>(lowest_free + more), former.rlim_max};
      ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
      baton::command c("true");
      const auto in = c.stdin_pipe();
      const auto out = c.stdout_pipe();
      const auto child = c.run();
      ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &former), 0);
      if (child.ok()) {
        EXPECT_TRUE(child->success());
      } else {
        EXPECT_EQ(baton::errno_of(child.status()), EMFILE) << child.status();
      }
      for (const absl::Status& status : {in.status(), out.status()}) {
        EXPECT_TRUE(status.ok() || baton::errno_of(status) == EMFILE) << status;
      }
    }
    const int after = ::dup(0);
    ::close(after);
    EXPECT_EQ(after, lowest_free);
  });
}

TEST(Command, ProgramsAreFoundInThePath) {
  baton::run([] {
    EXPECT_EQ(baton::command("echo", {"a", "b c"}).output().value(), "a b c\n");
    const scratch s;
    s.file("prog", "#!/bin/sh\necho here\n", 0755);
    EXPECT_EQ(baton::command("./prog").dir(s.path("")).output().value(), "here\n");
  });
}

TEST(Command, ThePathIsThatOfTheStartWithoutRelativeDirectories) {
  const scratch first, second;
  first.file("here", "#!/bin/sh\necho first\n", 0755);
  first.file("there", "no right to execute", 0644);
  second.file("there", "#!/bin/sh\necho second\n", 0755);
  second.file("nowhere", "no right to execute", 0644);
  const std::string former = ::getenv("PATH");
  baton::run([&] {
    const std::string relative = first.path("").substr(1);
    ::setenv("PATH", (relative + "::.:/no/such/directory:" + first.path("") + ":" + second.path("")).c_str(), 1);
    EXPECT_EQ(baton::command("here").dir("/").output().value(), "first\n");
    EXPECT_EQ(baton::command("there").output().value(), "second\n");
    EXPECT_EQ(baton::errno_of(baton::command("nowhere").run().status()), EACCES);
    ::setenv("PATH", (relative + ":").c_str(), 1);
    EXPECT_EQ(baton::errno_of(baton::command("here").dir("/").run().status()), ENOENT);
    ::setenv("PATH", "", 1);
    EXPECT_EQ(baton::errno_of(baton::command("true").run().status()), ENOENT);
    ::unsetenv("PATH");
    EXPECT_TRUE(baton::command("true").run()->success());
  });
  ::setenv("PATH", former.c_str(), 1);
}

// Asks on a thread of its own, whose descriptors alone that concerns.
bool kernel_lets_a_thread_leave_its_table() {
  bool lets = false;
  std::thread([&] {
    lets = sys::raw_syscall(SYS_close_range, ~0U, ~0U, unsigned{CLOSE_RANGE_UNSHARE}).has_value();
  }).join();
  return lets;
}

// A copy of this process's descriptors in a child would also be one of those that write to a program.
TEST(Command, AProgramThatHasJustBeenWrittenCanBeStartedWhileOthersStart) {
  if (!kernel_lets_a_thread_leave_its_table()) GTEST_SKIP() << "children begin with copies here";
  const scratch s;
  baton::run([&] {
    std::atomic<bool> stop = false;
    std::vector<baton::fiber<void>> others;
    for (int i = 0; i < 2; ++i) {
      others.push_back(baton::spawn([&] {
        while (!stop) EXPECT_TRUE(baton::command("/bin/true").run()->success());
      }));
    }
    for (int i = 0; i < 100; ++i) {
      const std::string program = s.file("program" + std::to_string(i), "#!/bin/true\n", 0755);
      const auto end = baton::command(program).run();
      EXPECT_TRUE(end.ok() && end->success()) << end.status();
    }
    stop = true;
    for (auto& other : others) other.join();
  });
}

TEST(Command, TheEnvironmentIsOursOrTheGivenOne) {
  baton::run([] {
    ::setenv("BATON_COMMAND_TEST", "ours", 1);
    EXPECT_EQ(sh("echo $BATON_COMMAND_TEST").output().value(), "ours\n");
    EXPECT_EQ(sh("echo $BATON_COMMAND_TEST").add_env("BATON_COMMAND_TEST=added").output().value(), "added\n");
    baton::command env("/usr/bin/env");
    env.env({"A=1", "B=2"}).add_env("A=3").add_env("C=4");
    EXPECT_EQ(env.output().value(), "A=3\nB=2\nC=4\n");
    EXPECT_EQ(env.env({}).output().value(), "A=3\nC=4\n");
    baton::command twice("/usr/bin/env");
    twice.env({"A=1", "B=2", "A=3"}).add_env("A=4");
    EXPECT_EQ(twice.output().value(), "A=4\nB=2\n");
    const auto without = baton::command("/usr/bin/env").add_env("A").start();
    EXPECT_EQ(baton::errno_of(without.status()), EINVAL) << without.status();
    ::unsetenv("BATON_COMMAND_TEST");
  });
}

TEST(Command, AttributesReachTheChild) {
  baton::run([] {
    sys::child_attributes a;
    a.umask = 027;
    a.dir = "/";
    a.new_session = true;
    a.limits = {{RLIMIT_NOFILE, {64, 64}}};
    baton::command c = sh("umask; pwd; ulimit -n; test $(ps -o sid= -p $$ 2>/dev/null || echo $$) = $$ && echo leads");
    EXPECT_EQ(c.attributes(a).output().value(), "0027\n/\n64\nleads\n");
  });
}

// Returns the line, without its end, that begins so.
std::string line_of(const std::string& text, const std::string& begin) {
  const auto at = text.find(begin);
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

TEST(Command, ChildrenOfFibersStartCleanAlsoWhileOthersOpenDescriptors) {
  const std::string slack = baton::read_file("/proc/self/timerslack_ns").value();
  baton::run([&] {
    std::atomic<bool> stop = false;
    auto opens = baton::spawn([&] {
      while (!stop) {
        const int fd = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
        baton::this_fiber::yield();
        ::close(fd);
      }
    });
    for (int i = 0; i < 10; ++i) {
      const auto text = baton::command("cat", {"/proc/self/status", "/proc/self/timerslack_ns"}).output();
      ASSERT_TRUE(text.ok()) << text.status();
      for (const char* const what : {"SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"}) {
        EXPECT_EQ(line_of(*text, what), std::string(what) + "\t0000000000000000");
      }
      EXPECT_TRUE(text->ends_with("\n" + slack)) << *text;
      EXPECT_EQ(baton::command("ls", {"/proc/self/fd"}).output().value(), "0\n1\n2\n3\n");
    }
    stop = true;
    opens.join();
  });
}

TEST(Command, OutputTellsOfAFailureWithTheLastWords) {
  baton::run([] {
    const auto text = sh("echo partial; echo what went wrong >&2; exit 3").output();
    ASSERT_FALSE(text.ok());
    ASSERT_TRUE(baton::exit_status_of(text.status()).has_value());
    EXPECT_EQ(baton::exit_status_of(text.status())->code(), 3);
    EXPECT_EQ(text.status().message(), "run /bin/sh: exit code 3: what went wrong");
    const auto killed = sh("kill -KILL $$").output();
    EXPECT_EQ(baton::exit_status_of(killed.status())->signal(), SIGKILL);
    const auto much = sh("yes abcdefg | head -n 100000 >&2; exit 1").output();
    EXPECT_GT(much.status().message().size(), 4000U);
    EXPECT_LT(much.status().message().size(), 4200U);
    EXPECT_FALSE(baton::exit_status_of(absl::UnknownError("")).has_value());
    EXPECT_EQ(sh("yes | head -c 1000000").output()->size(), 1'000'000U);
    baton::command piped = sh("");
    const auto err = piped.stderr_pipe();
    EXPECT_EQ(piped.output().status().code(), absl::StatusCode::kFailedPrecondition);
  });
}

TEST(Command, AContextEndsOutputAlsoIfAGrandchildKeepsThePipe) {
  baton::run([] {
    const auto done = baton::with_timeout(baton::context::background(), 0ms);
    EXPECT_EQ(sh("echo").output(done).status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(sh("echo").run(done).status().code(), absl::StatusCode::kDeadlineExceeded);
    // The child ends, and says by a FIFO which process it leaves behind; that one keeps stdout open.
    const scratch s;
    ASSERT_EQ(::mkfifo(s.path("fifo").c_str(), 0600), 0);
    auto ctx = baton::with_cancel(baton::context::background());
    auto output =
        baton::spawn([&] { return sh("sleep 1000 2>/dev/null & echo text; echo $! > " + s.path("fifo")).output(ctx); });
    const std::string pid = baton::read_file(s.path("fifo")).value();
    ctx.cancel(absl::AbortedError("enough"));
    const auto text = output.join();
    EXPECT_EQ(text.status().code(), absl::StatusCode::kAborted) << text.status();
    EXPECT_EQ(::kill(std::atoi(pid.c_str()), SIGKILL), 0);
    auto timed = baton::with_timeout(baton::context::background(), 1ms);
    const auto killed = baton::command("sleep", {"1000"}).output(timed);
    EXPECT_EQ(killed.status().code(), absl::StatusCode::kDeadlineExceeded) << killed.status();
    EXPECT_EQ(baton::exit_status_of(killed.status()).value_or(baton::exit_status(SIGTERM)).signal(), SIGTERM);
  });
}

// A program that a start waits for: another process has a lease on it.
class leased_program {
 public:
  leased_program(const scratch& s, const std::string& name) : path_(s.path(name)) {
    EXPECT_EQ(std::system(("cp /bin/true " + path_).c_str()), 0);
    holder_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    held_ = ::fcntl(holder_.get(), F_SETLEASE, F_WRLCK) == 0;
  }
  [[nodiscard]] bool is_held() const { return held_; }
  [[nodiscard]] bool is_wanted() const { return ::fcntl(holder_.get(), F_GETLEASE) != F_WRLCK; }
  void release() const { EXPECT_EQ(::fcntl(holder_.get(), F_SETLEASE, F_UNLCK), 0); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  sys::owned_fd holder_;
  bool held_ = false;
};

TEST(Command, StartsThatHangDoNotKeepOthersFromStarting) {
  const scratch s;
  const auto former = std::signal(SIGIO, SIG_IGN);
  const leased_program programs[] = {{s, "first"}, {s, "second"}};
  if (!programs[0].is_held() || !programs[1].is_held()) GTEST_SKIP() << "no leases here";
  baton::run([&] {
    std::vector<baton::fiber<bool>> hung;
    for (const leased_program& p : programs) {
      hung.push_back(baton::spawn([&p] {
        const auto end = baton::command(p.path()).run();
        return end.ok() && end->success();
      }));
    }
    while (!programs[0].is_wanted() || !programs[1].is_wanted()) baton::this_fiber::sleep_for(1ms);
    const auto soon = baton::with_timeout(baton::context::background(), 5ms);
    EXPECT_EQ(baton::command("true").run(soon).status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(baton::command("true").output(soon).status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_TRUE(baton::command("true").run()->success());
    for (const leased_program& p : programs) p.release();
    for (auto& f : hung) EXPECT_TRUE(f.join());
  });
  std::signal(SIGIO, former);
}

}  // namespace
