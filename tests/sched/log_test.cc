// Where the runtime's own lines go, and that it never waits for their reader.
#include "own_process.h"

#include <baton/sched/log/fatal.h>
#include <baton/sched/log/log.h>
#include <baton/sched/platform/clock.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

namespace {

using namespace baton::sched;

// A pipe on descriptor 2 whose file description blocks.
class pipe_on_stderr {
 public:
  pipe_on_stderr() {
    if (::pipe(fds_) != 0 || ::dup2(fds_[1], 2) != 2) std::abort();
    ::close(fds_[1]);
    ::fcntl(fds_[0], F_SETFL, O_NONBLOCK);
    log_to_stderr();
  }
  void fill() const {
    ::fcntl(2, F_SETFL, O_NONBLOCK);
    char some[4096] = {};
    while (::write(2, some, sizeof some) > 0) {
    }
    while (::write(2, some, 1) > 0) {
    }
    ::fcntl(2, F_SETFL, 0);
  }
  // Returns everything in the pipe, without the zeros of fill().
  [[nodiscard]] std::string read() const {
    std::string text;
    char some[4096];
    for (ssize_t n = 0; (n = ::read(fds_[0], some, sizeof some)) > 0;) text.append(some, static_cast<std::size_t>(n));
    std::erase(text, '\0');
    return text;
  }
  void hang_up() { ::close(fds_[0]); }

 private:
  int fds_[2];
};

[[noreturn]] void right_if(bool right) { ::_exit(right ? 0 : 1); }
const auto is_right = testing::ExitedWithCode(0);

class LogDeathTest : public baton_test::own_process_test {};

TEST_F(LogDeathTest, AFullPipeLosesLinesAndTheNextOneSaysHowMany) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        p.fill();
        warn("first");
        warn("second");
        const bool counted = logs_lost() == 2;
        const bool flags_kept = (::fcntl(2, F_GETFL) & O_NONBLOCK) == 0;
        const std::string before = p.read();
        warn("third");
        right_if(counted && flags_kept && before.empty() && logs_lost() == 0 &&
                 p.read() == "baton: 2 of its reports before this one were lost\nbaton: third\n");
      },
      is_right, "");
}

TEST_F(LogDeathTest, LastWordsWaitForAReaderButNotForEver) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        p.fill();
        fatal("nobody hears this");
      },
      testing::KilledBySignal(SIGABRT), "");
}

TEST_F(LogDeathTest, APipeThatNobodyReadsAnyMoreKillsNobody) {
  EXPECT_EXIT(
      {
        std::signal(SIGPIPE, SIG_DFL);
        pipe_on_stderr p;
        p.hang_up();
        warn("into the void");
        sigset_t pending;
        ::sigpending(&pending);
        right_if(logs_lost() == 1 && ::sigismember(&pending, SIGPIPE) == 0);
      },
      is_right, "");
}

TEST_F(LogDeathTest, ATerminalThatTakesNoMoreIsNotWaitedFor) {
  EXPECT_EXIT(
      {
        const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
        if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) ::_exit(2);
        ::dup2(::open(::ptsname(master), O_RDWR | O_NOCTTY), 2);
        log_to_stderr();
        for (int i = 0; i < 10'000; ++i) warn("a line that nobody reads, and another one, until the terminal is full");
        right_if(logs_lost() > 0);
      },
      is_right, "");
}

TEST_F(LogDeathTest, AConnectionThatGotNumberTwoGetsNoReport) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        ::close(2);
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0 || ends[0] != 2) ::_exit(2);
        warn("for the operator");
        char some[64];
        const bool nothing = ::recv(ends[1], some, sizeof some, MSG_DONTWAIT) < 0;
        right_if(nothing && p.read() == "baton: for the operator\n");
      },
      is_right, "");
}

TEST_F(LogDeathTest, ADataFileThatGotNumberTwoGetsNoReport) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        ::close(2);
        const std::filesystem::path path = testing::TempDir() + "/baton_log_test." + std::to_string(::getpid());
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd != 2) ::_exit(2);
        warn("for the operator");
        const bool empty = std::filesystem::file_size(path) == 0;
        std::filesystem::remove(path);
        right_if(empty && p.read() == "baton: for the operator\n");
      },
      is_right, "");
}

TEST_F(LogDeathTest, NorDoesItAfterASecondStart) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        char why[100];
        baton_test::start_without_rescue(1);
        if (!shut_down(why)) ::_exit(3);
        ::close(2);
        const std::filesystem::path path = testing::TempDir() + "/baton_log_test." + std::to_string(::getpid());
        const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd != 2) ::_exit(2);
        baton_test::start_without_rescue(1);
        warn("for the operator");
        const bool empty = std::filesystem::file_size(path) == 0;
        std::filesystem::remove(path);
        right_if(empty && p.read() == "baton: for the operator\n");
      },
      is_right, "");
}

TEST_F(LogDeathTest, ALogFilePutInPlaceIsARedirection) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        const std::filesystem::path path = testing::TempDir() + "/baton_log_test." + std::to_string(::getpid());
        const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ::dup2(fd, 2);
        warn("rotated");
        const auto size = std::filesystem::file_size(path);
        std::filesystem::remove(path);
        right_if(size == std::string("baton: rotated\n").size() && p.read().empty());
      },
      is_right, "");
}

TEST_F(LogDeathTest, AClosedStderrThatIsSaidToBeClosedLetsThePipeEnd) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        ::close(2);
        log_to_stderr();
        warn("nowhere");
        ::_exit(logs_lost() == 1 ? 0 : 1);
      },
      is_right, "");
}

TEST_F(LogDeathTest, ClosedStandardDescriptorsAreOpenedAtStart) {
  EXPECT_EXIT(
      {
        ::close(0);
        ::close(2);
        baton_test::start_without_rescue(1);
        bool right = true;
        for (const int fd : {0, 2}) {
          struct stat s {};
          struct stat null {};
          right = right && ::fstat(fd, &s) == 0 && ::stat("/dev/null", &null) == 0 && s.st_rdev == null.st_rdev;
          right = right && (::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
        }
        right_if(right);
      },
      is_right, "");
}

TEST_F(LogDeathTest, NoDescriptorOfTheLogIsInherited) {
  EXPECT_EXIT(
      {
        bool there_before[1024];
        for (int fd = 0; fd < 1024; ++fd) there_before[fd] = ::fcntl(fd, F_GETFD) >= 0;
        const pipe_on_stderr p;
        baton_test::start_without_rescue(1);
        bool right = true;
        for (int fd = 3; fd < 1024; ++fd) {
          const int flags = ::fcntl(fd, F_GETFD);
          if (flags < 0 || there_before[fd]) continue;
          if ((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) continue;  // the pipe's other end
          right = right && (flags & FD_CLOEXEC) != 0;
        }
        right_if(right);
      },
      is_right, "");
}

TEST_F(LogDeathTest, WhateverIsSaidIsOneLine) {
  EXPECT_EXIT(
      {
        const pipe_on_stderr p;
        warn("%s", "what()\nbaton: forged \x1b[31m");
        right_if(p.read() == "baton: what()\\nbaton: forged \\x1b[31m\n");
      },
      is_right, "");
}

// ---- write_all(), for the user's descriptors ----

TEST(WriteAll, ADescriptorThatDoesNotBlockIsWaitedFor) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_NONBLOCK), 0);
  const std::string text(300'000, 'x');
  std::string got;
  std::thread reader([&] {
    char some[4096];
    while (got.size() < text.size()) {
      pollfd what{fds[0], POLLIN, 0};
      ::poll(&what, 1, -1);
      const ssize_t n = ::read(fds[0], some, sizeof some);
      if (n > 0) got.append(some, static_cast<std::size_t>(n));
    }
  });
  EXPECT_TRUE(write_all(fds[1], text));
  reader.join();
  EXPECT_EQ(got, text);
  ::close(fds[0]);
  ::close(fds[1]);
  EXPECT_FALSE(write_all(fds[1], text));
}

}  // namespace
