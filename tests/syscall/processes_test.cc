// Processes, threads and limits through the typed calls.
#include <baton/syscall/processes.h>

#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <thread>

#include <gtest/gtest.h>

namespace {

namespace sys = baton::sys;

TEST(Processes, Identities) {
  EXPECT_EQ(*sys::getpid(), ::getpid());
  EXPECT_EQ(*sys::getppid(), ::getppid());
  EXPECT_EQ(*sys::gettid(), static_cast<::pid_t>(::syscall(SYS_gettid)));
  ::pid_t other = 0;
  std::thread([&] { other = *sys::gettid(); }).join();
  EXPECT_NE(other, *sys::gettid());
}

TEST(Processes, KillAsksAndErrs) {
  EXPECT_TRUE(sys::kill(*sys::getpid(), 0));
  EXPECT_EQ(sys::kill(*sys::getpid(), 1000).error(), EINVAL);
}

TEST(Processes, Wait4BringsAChildsEnd) {
  const ::pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(7);
  int status = 0;
  ::rusage usage{};
  EXPECT_EQ(*sys::wait4(child, &status, 0, &usage), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(sys::wait4(child, nullptr, WNOHANG).error(), ECHILD);
}

TEST(Processes, Wait4BringsAChildsSignal) {
  const ::pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (;;) ::pause();
  }
  EXPECT_EQ(*sys::wait4(child, nullptr, WNOHANG), 0);
  EXPECT_TRUE(sys::kill(child, SIGKILL));
  int status = 0;
  EXPECT_EQ(*sys::wait4(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST(Processes, LimitsAreReadAndSet) {
  const ::rlimit former = sys::getrlimit(RLIMIT_CORE).value();
  ::rlimit none = former;
  none.rlim_cur = 0;
  EXPECT_TRUE(sys::setrlimit(RLIMIT_CORE, none));
  EXPECT_EQ(sys::getrlimit(RLIMIT_CORE)->rlim_cur, 0U);
  EXPECT_TRUE(sys::setrlimit(RLIMIT_CORE, former));
  EXPECT_EQ(sys::getrlimit(1000).error(), EINVAL);
}

}  // namespace
