// wait_status against the C library's macros, and against real children.
#include <baton/syscall/processes.h>
#include <baton/syscall/wait_status.h>

#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <string>

#include <gtest/gtest.h>

namespace {

namespace sys = baton::sys;
using sys::wait_status;

TEST(WaitStatus, AgreesWithTheMacrosOnEveryStatus) {
  for (int raw = 0; raw <= 0xffff; ++raw) {
    const wait_status s(raw);
    ASSERT_EQ(s.exited(), static_cast<bool>(WIFEXITED(raw))) << raw;
    ASSERT_EQ(s.signaled(), static_cast<bool>(WIFSIGNALED(raw))) << raw;
    ASSERT_EQ(s.stopped(), static_cast<bool>(WIFSTOPPED(raw))) << raw;
    ASSERT_EQ(s.continued(), static_cast<bool>(WIFCONTINUED(raw))) << raw;
    ASSERT_EQ(s.code(), WIFEXITED(raw) ? WEXITSTATUS(raw) : -1) << raw;
    ASSERT_EQ(s.signal(), WIFSIGNALED(raw) ? WTERMSIG(raw) : 0) << raw;
    ASSERT_EQ(s.stop_signal(), WIFSTOPPED(raw) ? WSTOPSIG(raw) : 0) << raw;
    ASSERT_EQ(s.core_dumped(), WIFSIGNALED(raw) && WCOREDUMP(raw)) << raw;
    ASSERT_EQ(s.raw(), raw);
  }
}

TEST(WaitStatus, NoChangeIsNothingElse) {
  constexpr wait_status none;
  EXPECT_FALSE(none.exited() || none.signaled() || none.stopped() || none.continued() || none.core_dumped());
  EXPECT_EQ(none.code(), -1);
  EXPECT_EQ(none.signal(), 0);
  EXPECT_NE(none, wait_status(0));
  EXPECT_EQ(none, wait_status());
}

TEST(WaitStatus, AsText) {
  EXPECT_EQ(wait_status(0).to_string(), "exit code 0");
  EXPECT_EQ(wait_status(255 << 8).to_string(), "exit code 255");
  EXPECT_EQ(wait_status(SIGKILL).to_string(), "killed by SIGKILL");
  EXPECT_EQ(wait_status(SIGSEGV | 0x80).to_string(), "killed by SIGSEGV, core dumped");
  EXPECT_EQ(wait_status(SIGRTMIN + 3).to_string(), "killed by SIGRTMIN+3");
  EXPECT_EQ(wait_status(33).to_string(), "killed by signal 33");  // the C library's own
  EXPECT_EQ(wait_status((SIGTSTP << 8) | 0x7f).to_string(), "stopped by SIGTSTP");
  EXPECT_EQ(wait_status(0xffff).to_string(), "continued");
  EXPECT_EQ(wait_status().to_string(), "no change");
}

TEST(WaitStatus, OfAChildThatStopsGoesOnAndEnds) {
  const ::pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (;;) ::pause();
  }
  EXPECT_EQ(*sys::wait4(child, WNOHANG), wait_status());
  EXPECT_TRUE(sys::kill(child, SIGSTOP));
  EXPECT_EQ(sys::wait4(child, WUNTRACED)->stop_signal(), SIGSTOP);
  EXPECT_TRUE(sys::kill(child, SIGCONT));
  EXPECT_TRUE(sys::wait4(child, WCONTINUED)->continued());
  EXPECT_TRUE(sys::kill(child, SIGKILL));
  const auto end = sys::wait4(child, 0);
  ASSERT_TRUE(end) << end.error();
  EXPECT_EQ(end->signal(), SIGKILL);
  EXPECT_EQ(end->to_string(), "killed by SIGKILL");
  EXPECT_EQ(sys::wait4(child, 0).error(), ECHILD);
}

TEST(WaitStatus, OfAChildThatExits) {
  const ::pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(42);
  EXPECT_EQ(sys::wait4(child, 0)->code(), 42);
}

}  // namespace
