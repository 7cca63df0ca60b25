// Commands: how a start fails, files and pipes, environment, output().
#include "process_support.h"

#include <baton/runtime/command.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/files.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton_test::sh;
namespace sys = baton::sys;

// A directory that goes with the test.
class scratch {
 public:
  scratch() { EXPECT_NE(::mkdtemp(name_), nullptr); }
  ~scratch() { EXPECT_EQ(std::system(("rm -r " + std::string(name_)).c_str()), 0); }
  [[nodiscard]] std::string path(const std::string& name) const { return std::string(name_) + "/" + name; }
  std::string file(const std::string& name, const std::string& text, ::mode_t mode) const {
    EXPECT_TRUE(baton::write_file(path(name), text, mode).ok());
    return path(name);
  }

 private:
  char name_[32] = "/tmp/command_test.XXXXXX";
};

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

TEST(Command, TheEnvironmentIsOursOrTheGivenOne) {
  baton::run([] {
    ::setenv("BATON_COMMAND_TEST", "ours", 1);
    EXPECT_EQ(sh("echo $BATON_COMMAND_TEST").output().value(), "ours\n");
    EXPECT_EQ(sh("echo $BATON_COMMAND_TEST").add_env("BATON_COMMAND_TEST=added").output().value(), "added\n");
    baton::command env("/usr/bin/env");
    env.env({"A=1", "B=2"}).add_env("A=3").add_env("C=4");
    EXPECT_EQ(env.output().value(), "A=3\nB=2\nC=4\n");
    EXPECT_EQ(env.env({}).output().value(), "A=3\nC=4\n");
    ::unsetenv("BATON_COMMAND_TEST");
  });
}

TEST(Command, PipesAreStdinStdoutAndStderr) {
  baton::run([] {
    baton::command c = sh("while read line; do echo out $line; echo err $line >&2; done");
    auto in = c.stdin_pipe();
    auto out = c.stdout_pipe();
    auto err = c.stderr_pipe();
    ASSERT_TRUE(in.ok() && out.ok() && err.ok());
    EXPECT_EQ(c.stdout_pipe().status().code(), absl::StatusCode::kFailedPrecondition);
    auto child = c.start();
    ASSERT_TRUE(child.ok()) << child.status();
    std::array<char, 64> part;
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(in->write("ping\n").ok());
      const auto n = out->read(part);
      ASSERT_TRUE(n.ok());
      EXPECT_EQ(std::string(part.data(), *n), "out ping\n");
      const auto m = err->read(part);
      ASSERT_TRUE(m.ok());
      EXPECT_EQ(std::string(part.data(), *m), "err ping\n");
    }
    in->close();
    EXPECT_TRUE(child->wait()->success());
    EXPECT_EQ(out->read(part).value(), 0U);
    EXPECT_EQ(err->read(part).value(), 0U);
    // The pipes were for that start. stdin is /dev/null now.
    EXPECT_TRUE(c.run()->success());
  });
}

TEST(Command, FilesAreStdinStdoutAndStderr) {
  const scratch s;
  const std::string input = s.file("input", "b\na\n", 0644);
  baton::run([&] {
    {
      auto in = baton::file::open(input);
      auto out = baton::file::open(s.path("out"), O_WRONLY | O_CREAT | O_TRUNC);
      baton::command c = sh("sort; echo error >&2");
      c.stdin_from(*in).stdout_to(*out).stderr_to_stdout();
      EXPECT_TRUE(in->close().ok());
      EXPECT_TRUE(out->close().ok());
      EXPECT_TRUE(c.run()->success());
    }
    EXPECT_EQ(baton::read_file(s.path("out")).value(), "a\nb\nerror\n");
    {
      auto errors = baton::file::open(s.path("err"), O_WRONLY | O_CREAT | O_TRUNC);
      EXPECT_EQ(sh("echo o; echo e >&2").stderr_to(*errors).output().value(), "o\n");
    }
    EXPECT_EQ(baton::read_file(s.path("err")).value(), "e\n");
    EXPECT_EQ(baton::command("cat").output().value(), "");
    EXPECT_EQ(baton::errno_of(baton::command("cat").stdin_from(baton::file()).start().status()), EBADF);
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

}  // namespace
