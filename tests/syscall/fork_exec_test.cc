// fork_exec and exec: the clean start of the program, its descriptors, attributes, and errors.
#include <baton/syscall/fork_exec.h>

#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/processes.h>

#include "system_call_filter.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace sys = baton::sys;

std::string read_all(int fd) {
  std::string all;
  std::array<char, 4096> part;
  for (;;) {
    const auto n = sys::read(fd, part);
    if (!n || *n == 0) return all;
    all.append(part.data(), *n);
  }
}

// Runs a program with its standard output in a pipe, and returns what it wrote.
std::string output_of(const std::string& path, const std::vector<std::string>& argv, sys::child_attributes a = {}) {
  const auto ends = sys::pipe2(O_CLOEXEC).value();
  const sys::owned_fd from(ends[0]);
  sys::owned_fd to(ends[1]);
  if (a.files.size() < 2) a.files.resize(2, -1);
  a.files[1] = to.get();
  const auto pid = sys::fork_exec(path, argv, a);
  EXPECT_TRUE(pid) << pid.status(path);
  to.reset();
  const std::string text = read_all(from.get());
  EXPECT_TRUE(pid && sys::wait4(*pid)->success());
  return text;
}

std::string line_of(const std::string& text, const std::string& begin) {
  const auto at = text.find(begin);
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

TEST(ForkExec, TheProgramStartsWithAnEmptyMaskDefaultDispositionsAndOurTimerSlack) {
  sigset_t all;
  sigset_t former;
  ::sigfillset(&all);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &all, &former), 0);
  const auto hup = std::signal(SIGHUP, SIG_IGN);
  const auto realtime = std::signal(SIGRTMAX, SIG_IGN);
  const auto usr2 = std::signal(SIGUSR2, [](int) {});
  const std::string text = output_of("/bin/cat", {"cat", "/proc/self/status", "/proc/self/timerslack_ns"});
  EXPECT_EQ(std::signal(SIGHUP, hup), SIG_IGN);
  EXPECT_EQ(std::signal(SIGRTMAX, realtime), SIG_IGN);
  std::signal(SIGUSR2, usr2);
  sigset_t now;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &former, &now), 0);
  EXPECT_EQ(::sigismember(&now, SIGTERM), 1);  // ours is as it was
  for (const char* const what : {"SigPnd:", "SigBlk:", "SigIgn:", "SigCgt:"}) {
    EXPECT_EQ(line_of(text, what), std::string(what) + "\t0000000000000000");
  }
  std::ifstream slack("/proc/self/timerslack_ns");
  EXPECT_EQ(text.substr(text.rfind('\n', text.size() - 2) + 1), std::string(std::istreambuf_iterator<char>(slack), {}));
}

// ls itself opens one descriptor, the lowest that is free.
const std::vector<std::string> list_descriptors = {"ls", "/proc/self/fd"};

TEST(ForkExec, TheProgramHasTheGivenDescriptorsAndNoOthers) {
  const sys::owned_fd inherited(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
  EXPECT_EQ(output_of("/bin/ls", list_descriptors), "0\n1\n2\n3\n");
  sys::child_attributes a;
  a.files = {-1, -1, 2};
  EXPECT_EQ(output_of("/bin/ls", list_descriptors, a), "0\n1\n2\n");
  a.files = {0, -1, -1};
  EXPECT_EQ(output_of("/bin/ls", list_descriptors, a), "0\n1\n2\n");
  a.files = {0, -1, 2, -1, inherited.get(), 0};
  EXPECT_EQ(output_of("/bin/ls", list_descriptors, a), "0\n1\n2\n3\n4\n5\n");
  EXPECT_GE(::fcntl(inherited.get(), F_GETFD), 0);
}

TEST(ForkExec, DescriptorsMayTradePlaces) {
  std::vector<sys::owned_fd> files;
  sys::child_attributes a;
  a.files = {0, 1, 2};
  std::vector<int> numbers;
  for (const char* const name : {"/dev/null", "/dev/zero", "/dev/full"}) {
    files.emplace_back(::open(name, O_RDWR | O_CLOEXEC));
    numbers.push_back(files.back().get());
  }
  // The numbers below are likely to be 3, 4 … here, so places and numbers overlap in both directions.
  a.files.insert(a.files.end(), {numbers[2], numbers[0], numbers[1], numbers[1], numbers[2], numbers[0], 2});
  const std::string script = "for i in 3 4 5 6 7 8; do readlink /proc/self/fd/$i; done";
  EXPECT_EQ(output_of("/bin/sh", {"sh", "-c", script}, a),
            "/dev/full\n/dev/null\n/dev/zero\n/dev/zero\n/dev/full\n/dev/null\n");
}

TEST(ForkExec, WhatOtherThreadsOpenMeanwhileDoesNotReachTheProgram) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> openers;
  for (int i = 0; i < 2; ++i) {
    openers.emplace_back([&] {
      while (!stop) {
        const int fd = ::open("/dev/null", O_RDONLY);
        const int twin = ::dup(fd);
        ::close(fd);
        ::close(twin);
      }
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(output_of("/bin/ls", list_descriptors), "0\n1\n2\n3\n");
  stop = true;
  for (std::thread& t : openers) t.join();
}

TEST(ForkExec, FailuresAreThoseOfTheChildsStepAndLeaveNoChild) {
  sys::child_attributes bad_file;
  bad_file.files = {0, 1, 2, 9999};
  EXPECT_EQ(sys::fork_exec("/bin/true", {"true"}, bad_file).error(), EBADF);
  sys::child_attributes bad_group;
  bad_group.process_group = 1;  // of another session
  EXPECT_EQ(sys::fork_exec("/bin/true", {"true"}, bad_group).error(), EPERM);
  sys::child_attributes bad_limit;
  bad_limit.limits = {{1000, {}}};
  EXPECT_EQ(sys::fork_exec("/bin/true", {"true"}, bad_limit).error(), EINVAL);
  sys::child_attributes bad_dir;
  bad_dir.dir = "/no/such/directory";
  EXPECT_EQ(sys::fork_exec("/bin/true", {"true"}, bad_dir).error(), ENOENT);
  sys::child_attributes bad_terminal;
  bad_terminal.terminal = 0;
  bad_terminal.files = {::open("/dev/null", O_RDONLY | O_CLOEXEC), 1, 2};
  EXPECT_EQ(sys::fork_exec("/bin/true", {"true"}, bad_terminal).error(), ENOTTY);
  ::close(bad_terminal.files[0]);
  sys::child_attributes bad_signal;
  bad_signal.death_signal = 1000;
  EXPECT_EQ(sys::fork_exec("/bin/true", {"true"}, bad_signal).error(), EINVAL);
  EXPECT_EQ(sys::fork_exec("/no/such/program", {"x"}).error(), ENOENT);
  EXPECT_EQ(sys::fork_exec("/proc/self/fd", {"x"}).error(), EACCES);
  EXPECT_EQ(sys::fork_exec(std::string("/bin/true\0", 10), {"x"}).error(), EINVAL);
  EXPECT_EQ(sys::fork_exec("/bin/true", {}).error(), EINVAL);
  EXPECT_EQ(sys::wait4(-1, WNOHANG).error(), ECHILD);
}

TEST(ForkExec, SessionGroupUmaskAndLimitsAreSet) {
  const std::string stat =
      "read -r a b c d pgrp session rest < /proc/$$/stat; echo $(($pgrp == $$)) $(($session == $$))";
  sys::child_attributes a;
  EXPECT_EQ(output_of("/bin/sh", {"sh", "-c", stat}, a), "0 0\n");
  a.process_group = 0;
  EXPECT_EQ(output_of("/bin/sh", {"sh", "-c", stat}, a), "1 0\n");
  a.process_group = {};
  a.new_session = true;
  EXPECT_EQ(output_of("/bin/sh", {"sh", "-c", stat}, a), "1 1\n");
  a.process_group = 0;  // the leader of a session may not ask for a group, and has one
  EXPECT_EQ(output_of("/bin/sh", {"sh", "-c", stat}, a), "1 1\n");
  a.umask = 077;
  a.limits = {{RLIMIT_NOFILE, {99, 99}}, {RLIMIT_CORE, {0, 0}}};
  EXPECT_EQ(output_of("/bin/sh", {"sh", "-c", "umask; ulimit -n; ulimit -c"}, a), "0077\n99\n0\n");
}

TEST(ForkExec, ATerminalBecomesTheControllingOne) {
  const sys::owned_fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master);
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  std::array<char, 64> name;
  ASSERT_EQ(::ptsname_r(master.get(), name.data(), name.size()), 0);
  const sys::owned_fd terminal(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  sys::child_attributes a;
  a.files = {0, 1, 2, terminal.get()};
  a.new_session = true;
  a.terminal = 3;
  const auto pid = sys::fork_exec("/bin/sh", {"sh", "-c", "echo text > /dev/tty"}, a);
  ASSERT_TRUE(pid) << pid.status("start sh");
  EXPECT_TRUE(sys::wait4(*pid)->success());
  std::array<char, 16> text;
  EXPECT_EQ(std::string(text.data(), sys::read(master.get(), text).value()), "text\r\n");
}

TEST(ForkExec, CredentialsAreTaken) {
  sys::child_attributes a;
  a.as = sys::credentials{65534, 65534, {65534, 4}};
  if (::geteuid() != 0) {
    EXPECT_EQ(sys::fork_exec("/usr/bin/id", {"id"}, a).error(), EPERM);
    return;
  }
  const std::string text = output_of("/bin/cat", {"cat", "/proc/self/status"}, a);
  EXPECT_EQ(line_of(text, "Uid:"), "Uid:\t65534\t65534\t65534\t65534");
  EXPECT_EQ(line_of(text, "Gid:"), "Gid:\t65534\t65534\t65534\t65534");
  EXPECT_EQ(line_of(text, "Groups:").substr(0, 15), "Groups:\t4 65534");
  EXPECT_EQ(::geteuid(), 0U);
  sys::child_attributes rooted;
  rooted.root = "/proc";
  rooted.dir = "/";
  EXPECT_EQ(sys::fork_exec("/bin/true", {"true"}, rooted).error(), ENOENT);
}

TEST(ForkExec, TheDeathSignalComesWithTheEndOfTheThread) {
  const auto ends = sys::pipe2(O_CLOEXEC).value();
  const sys::owned_fd read_end(ends[0]);
  const sys::owned_fd write_end(ends[1]);
  ::pid_t child = 0;
  std::thread([&] {
    sys::child_attributes a;
    a.files = {read_end.get(), 1, 2};
    a.death_signal = SIGUSR1;
    child = sys::fork_exec("/bin/cat", {"cat"}, a).value();
  }).join();
  EXPECT_EQ(sys::wait4(child)->signal(), SIGUSR1);
}

TEST(ForkExec, Wait4AndPidfdsTellOfTheChild) {
  const auto child = sys::fork_exec("/bin/sleep", {"sleep", "1000"});
  ASSERT_TRUE(child);
  EXPECT_EQ(*sys::wait4(*child, WNOHANG), sys::wait_status());
  const sys::owned_fd pidfd(sys::pidfd_open(*child).value());
  EXPECT_EQ(::fcntl(pidfd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(sys::pidfd_send_signal(pidfd.get(), SIGSTOP));
  EXPECT_EQ(sys::wait4(*child, WUNTRACED)->stop_signal(), SIGSTOP);
  EXPECT_TRUE(sys::pidfd_send_signal(pidfd.get(), SIGKILL));
  EXPECT_EQ(sys::wait4(*child)->signal(), SIGKILL);
  EXPECT_EQ(sys::pidfd_send_signal(pidfd.get(), 0).error(), ESRCH);
  EXPECT_EQ(sys::wait4(*child).error(), ECHILD);
  EXPECT_EQ(sys::pidfd_open(0).error(), EINVAL);
  EXPECT_EQ(sys::wait_status(3 << 8).to_string(), "exit code 3");
  EXPECT_EQ(sys::wait_status(SIGRTMIN + 1).to_string(), "killed by SIGRTMIN+1");
}

class ForkExecDeathTest : public testing::Test {
 protected:
  ForkExecDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void check(bool so, int line) {
  if (so) return;
  std::fprintf(stderr, "line %d\n", line);
  std::_Exit(1);
}
#define CHECK_HERE(condition) check(condition, __LINE__)

// ENOSYS from both calls from now on.
void refuse(unsigned call, unsigned other) {
  CHECK_HERE(baton_test::filter_call(static_cast<int>(call), baton_test::fails_with(ENOSYS)) == 0);
  if (other != call) CHECK_HERE(baton_test::filter_call(static_cast<int>(other), baton_test::fails_with(ENOSYS)) == 0);
}

void close_without_close_range() {
  refuse(SYS_close_range, SYS_close_range);
  for (int i = 0; i < 200; ++i) CHECK_HERE(::open("/dev/null", O_RDONLY) >= 0);
  CHECK_HERE(::dup2(0, 500) == 500);
  CHECK_HERE(output_of("/bin/ls", list_descriptors) == "0\n1\n2\n3\n");
  std::_Exit(0);
}

TEST_F(ForkExecDeathTest, WhereCloseRangeIsRefusedTheDescriptorsAreClosedOneByOne) {
  EXPECT_EXIT(close_without_close_range(), testing::ExitedWithCode(0), "^$");
}

void start_without_a_shared_table() {
  refuse(SYS_close_range, SYS_unshare);
  const int ours = ::open("/dev/null", O_RDONLY);
  for (int i = 0; i < 3; ++i) {
    CHECK_HERE(output_of("/bin/ls", list_descriptors) == "0\n1\n2\n3\n");
    CHECK_HERE(sys::fork_exec("/no/such/program", {"x"}).error() == ENOENT);
    CHECK_HERE(::fcntl(ours, F_GETFD) >= 0);
    CHECK_HERE(sys::wait4(-1, WNOHANG).error() == ECHILD);
  }
  std::_Exit(0);
}

TEST_F(ForkExecDeathTest, WhereATableCannotBeLeftTheChildBeginsWithACopy) {
  EXPECT_EXIT(start_without_a_shared_table(), testing::ExitedWithCode(0), "^$");
}

// Descriptors of this process do not change while children take theirs.
TEST(ForkExec, TheDescriptorsOfThisProcessStayAsTheyAre) {
  const sys::owned_fd low(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const sys::owned_fd high(::fcntl(low.get(), F_DUPFD_CLOEXEC, 200));
  sys::child_attributes a;
  a.files = {high.get(), low.get(), -1, -1, low.get(), 0};
  const auto all = [] {
    std::string text;
    for (int fd = 0; fd < 256; ++fd) text += std::to_string(::fcntl(fd, F_GETFD)) + " ";
    return text;
  };
  const std::string before = all();
  for (const char* const path : {"/bin/true", "/no/such/program"}) {
    const auto pid = sys::fork_exec(path, {"x"}, a);
    EXPECT_TRUE(!pid || sys::wait4(*pid)->success());
    EXPECT_EQ(all(), before);
  }
}

void close_without_a_list_of_descriptors() {
  refuse(SYS_close_range, SYS_getdents64);
  CHECK_HERE(::dup2(0, 500) == 500);
  sys::child_attributes a;
  a.limits = {{RLIMIT_NOFILE, {100, 100}}};
  CHECK_HERE(output_of("/bin/sh", {"sh", "-c", "test -e /proc/self/fd/500 || echo gone"}, a) == "gone\n");
  std::_Exit(0);
}

TEST_F(ForkExecDeathTest, WhereDescriptorsCannotBeListedTheyAreClosedAlsoAboveTheLimitOfTheChild) {
  EXPECT_EXIT(close_without_a_list_of_descriptors(), testing::ExitedWithCode(0), "^$");
}

void become_a_shell() {
  std::signal(SIGHUP, SIG_IGN);
  struct sigaction no_zombies {};
  no_zombies.sa_handler = SIG_IGN;
  no_zombies.sa_flags = SA_NOCLDWAIT | SA_RESTART;
  ::sigaction(SIGCHLD, &no_zombies, nullptr);
  sigset_t mask;
  ::sigfillset(&mask);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  CHECK_HERE(sys::exec("/no/such/program", {"x"}, {}).error() == ENOENT);
  CHECK_HERE(sys::exec("/bin/sh", {std::string("\0", 1)}, {}).error() == EINVAL);
  CHECK_HERE(sys::exec("/bin/sh", {}, {}).error() == EINVAL);
  struct sigaction now {};
  CHECK_HERE(::sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler == SIG_IGN);
  CHECK_HERE(::sigaction(SIGCHLD, nullptr, &now) == 0 && now.sa_handler == SIG_IGN);
  CHECK_HERE((now.sa_flags & SA_NOCLDWAIT) != 0 && (now.sa_flags & SA_RESTART) != 0);
  CHECK_HERE(::pthread_sigmask(SIG_SETMASK, nullptr, &mask) == 0 && ::sigismember(&mask, SIGTERM) == 1);
  const std::string script =
      "test \"$(grep -c '^Sig[BI].*:.0000000000000000$' /proc/self/status)\" = 2 && test \"$A\" = b && exit 42";
  (void)sys::exec("/bin/sh", {"sh", "-c", script}, {"A=b", "PATH=/usr/bin:/bin"});
}

TEST_F(ForkExecDeathTest, ExecReplacesTheProcessWithTheSameCleanStart) {
  EXPECT_EXIT(become_a_shell(), testing::ExitedWithCode(42), "^$");
}

}  // namespace
