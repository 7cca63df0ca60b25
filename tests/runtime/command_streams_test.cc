// Standard input, output and error of commands: pipes, files, what this process has closed or made non-blocking.
#include "good_child.h"
#include "process_support.h"

#include <baton/netpoll/pipe.h>
#include <baton/runtime/command.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/files.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

namespace {

using namespace std::chrono_literals;
using baton_test::scratch;
using baton_test::sh;
namespace sys = baton::sys;

std::string read_all(baton::pipe_reader& from) {
  std::string all;
  std::array<char, 4096> part;
  for (;;) {
    const auto n = from.read(part);
    if (!n.ok() || *n == 0) return all;
    all.append(part.data(), *n);
  }
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

// Prints the flags of the program's open file, in octal.
std::string flags_of(int number) { return "sed -n 's/^flags:.//p' /proc/self/fdinfo/" + std::to_string(number); }

unsigned long flags_in(const absl::StatusOr<std::string>& text) {
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? std::strtoul(text->c_str(), nullptr, 8) : O_NONBLOCK;
}

TEST(CommandStreams, WhatBatonHasMadeNonBlockingIsBlockingForTheProgram) {
  const scratch s;
  ASSERT_EQ(::mkfifo(s.path("fifo").c_str(), 0600), 0);
  baton::run([&] {
    auto ends = baton::make_pipe();
    ASSERT_TRUE(ends.ok());
    EXPECT_EQ(flags_in(sh(flags_of(0)).stdin_from(ends->reader).output()) & O_NONBLOCK, 0U);
    EXPECT_EQ(flags_in(sh(flags_of(2)).stderr_to(ends->writer).output()) & O_NONBLOCK, 0U);
    auto fifo = baton::file::open(s.path("fifo"), O_RDWR);
    ASSERT_TRUE(fifo.ok()) << fifo.status();
    const auto flags = flags_in(sh(flags_of(0)).stdin_from(*fifo).output());
    EXPECT_EQ(flags & O_NONBLOCK, 0U);
    EXPECT_EQ(flags & O_ACCMODE, unsigned{O_RDWR});
    for (const int ours : {ends->reader.native_handle(), ends->writer.native_handle(), fifo->native_handle()}) {
      EXPECT_NE(::fcntl(ours, F_GETFL) & O_NONBLOCK, 0);
    }
  });
}

TEST(CommandStreams, AFullPipeMakesTheProgramWait) {
  baton::run([] {
    auto ends = baton::make_pipe();
    ASSERT_TRUE(ends.ok());
    baton::command zeros("head", {"-c", "300000", "/dev/zero"});
    zeros.stdout_to(ends->writer);
    auto child = zeros.start();
    ASSERT_TRUE(child.ok()) << child.status();
    zeros = baton::command("");  // which has the writing end, too
    const int room = sys::fcntl(ends->writer.native_handle(), F_GETPIPE_SZ).value();
    ends->writer.close();
    int there = 0;
    while (there < room && !child->has_ended()) {
      ASSERT_TRUE(sys::ioctl(ends->reader.native_handle(), FIONREAD, &there));
      baton::this_fiber::sleep_for(100us);
    }
    EXPECT_EQ(read_all(ends->reader).size(), 300'000U);
    EXPECT_TRUE(child->wait()->success());
  });
}

TEST(CommandStreams, TheOutputOfOneIsTheInputOfAnother) {
  baton::run([] {
    baton::command first("head", {"-c", "300000", "/dev/zero"});
    baton::command second("wc", {"-c"});
    auto pipe = first.stdout_pipe();
    ASSERT_TRUE(pipe.ok());
    second.stdin_from(*pipe);
    pipe->close();
    auto child = first.start();
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_EQ(std::atoi(second.output().value().c_str()), 300'000);
    EXPECT_TRUE(child->wait()->success());
  });
}

TEST(CommandStreams, ATerminalIsOpenedAgainAndItsMasterIsNot) {
  const sys::owned_fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  ASSERT_TRUE(master);
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  std::array<char, 64> name;
  ASSERT_EQ(::ptsname_r(master.get(), name.data(), name.size()), 0);
  baton::run([&] {
    auto terminal = baton::file::open(name.data(), O_RDWR | O_NOCTTY);
    ASSERT_TRUE(terminal.ok()) << terminal.status();
    EXPECT_EQ(flags_in(sh(flags_of(0)).stdin_from(*terminal).output()) & O_NONBLOCK, 0U);
    EXPECT_EQ(sh("readlink /proc/self/fd/0").stdin_from(*terminal).output().value(), std::string(name.data()) + "\n");
    auto other_side = baton::file::borrow(master.get(), "master");
    ASSERT_TRUE(other_side.ok());
    // What the program says on the master arrives on the same terminal.
    EXPECT_TRUE(sh("echo over there").stdout_to(*other_side).run()->success());
    std::array<char, 32> text;
    const auto n = terminal->read(text);
    ASSERT_TRUE(n.ok()) << n.status();
    EXPECT_EQ(std::string(text.data(), *n), "over there\n");
  });
}

class CommandStreamsDeathTest : public testing::Test {
 protected:
  CommandStreamsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(CommandStreamsDeathTest, WhatThisProcessHasClosedIsTheNullDevice) {
  EXPECT_GOOD_CHILD([] {
    baton::run([] {
      for (const int standard : {0, 1, 2}) ::close(standard);
      // The pipes get the numbers that are free, which have a meaning for the program.
      baton::command c =
          sh("for i in 1 2; do test $(readlink /proc/$$/fd/$i) = /dev/null || exit $i; done; "
             "read line; test $line = ping");
      auto in = c.stdin_pipe();
      if (!in.ok()) std::_Exit(2);
      auto child = c.start();
      if (!child.ok() || !in->write("ping\n").ok() || !child->wait()->success()) std::_Exit(3);
      baton::command with_errors = sh("test $(readlink /proc/$$/fd/1) = /dev/null || exit 1; echo error >&2");
      auto errors = with_errors.stderr_pipe();
      if (!errors.ok() || !with_errors.run()->success() || read_all(*errors) != "error\n") std::_Exit(4);
      if (sh("echo text").output().value() != "text\n") std::_Exit(5);
    });
  });
}

}  // namespace
