// Processes, threads and limits through the typed calls.
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/processes.h>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "syscall/provoked.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using baton_test::nowhere;

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

constexpr ::pid_t no_such = 0x3fff'ffff;  // above the kernel's largest id

// A child that waits for its end.
class child {
 public:
  child() : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
      for (;;) ::pause();
    }
  }
  ~child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  [[nodiscard]] ::pid_t pid() const { return pid_; }

 private:
  ::pid_t pid_;
};

// Not provoked: ENOMEM and ENFILE.
TEST(Processes, APidfdMeansOneProcess) {
  sys::owned_fd pidfd;
  {
    const child c;
    const auto opened = sys::pidfd_open(c.pid());
    if (opened.error() == ENOSYS) GTEST_SKIP() << "no pidfds here";
    pidfd.reset(opened.value());
    EXPECT_TRUE(sys::pidfd_send_signal(pidfd.get(), 0));
    EXPECT_EQ(sys::pidfd_send_signal(pidfd.get(), 1000).error(), EINVAL);
    EXPECT_EQ(sys::pidfd_send_signal(pidfd.get(), 0, nullptr, 0x4000'0000).error(), EINVAL);
    EXPECT_EQ(sys::pidfd_send_signal(pidfd.get(), SIGTERM, nowhere<::siginfo_t>()).error(), EFAULT);
    const auto taken = sys::pidfd_getfd(pidfd.get(), 2);
    if (taken.error() != EPERM) {
      const sys::owned_fd same(taken.value());
      EXPECT_TRUE(sys::fcntl(same.get(), F_GETFD));
      EXPECT_EQ(sys::pidfd_getfd(pidfd.get(), 100'000).error(), EBADF);
      EXPECT_EQ(sys::pidfd_getfd(pidfd.get(), 2, 1).error(), EINVAL);
    }
    baton_test::as_nobody([&] {
      EXPECT_EQ(sys::pidfd_send_signal(pidfd.get(), SIGTERM).error(), EPERM);
      EXPECT_EQ(sys::pidfd_getfd(pidfd.get(), 2).error(), EPERM);
      EXPECT_EQ(sys::kill(c.pid(), SIGTERM).error(), EPERM);
      EXPECT_EQ(sys::tgkill(c.pid(), c.pid(), SIGTERM).error(), EPERM);
    });
    EXPECT_TRUE(sys::pidfd_send_signal(pidfd.get(), SIGKILL));
    ::siginfo_t info{};
    EXPECT_TRUE(sys::waitid(P_PIDFD, static_cast<::id_t>(pidfd.get()), &info, WEXITED | WNOWAIT));
    EXPECT_EQ(info.si_pid, c.pid());
    EXPECT_EQ(info.si_code, CLD_KILLED);
    EXPECT_EQ(info.si_status, SIGKILL);
  }
  expect_errors({{"gone", sys::pidfd_send_signal(pidfd.get(), 0).error(), ESRCH},
                 {"gone to take from", sys::pidfd_getfd(pidfd.get(), 2).error(), ESRCH},
                 {"no descriptor", sys::pidfd_send_signal(-1, 0).error(), EBADF},
                 {"no descriptor to take from", sys::pidfd_getfd(-1, 2).error(), EBADF},
                 {"none", sys::pidfd_open(no_such).error(), ESRCH},
                 {"negative", sys::pidfd_open(-1).error(), EINVAL},
                 {"flags", sys::pidfd_open(::getpid(), 0x4000'0000).error(), EINVAL}});
  const baton_test::lower_limit no_descriptor(RLIMIT_NOFILE, 0);
  EXPECT_EQ(sys::pidfd_open(::getpid()).error(), EMFILE);
}

TEST(Processes, SignalsGoToOneThread) {
  EXPECT_TRUE(sys::tgkill(*sys::getpid(), *sys::gettid(), 0));
  expect_errors({{"kill none", sys::kill(no_such, 0).error(), ESRCH},
                 {"no thread", sys::tgkill(*sys::getpid(), no_such, 0).error(), ESRCH},
                 {"of another process", sys::tgkill(*sys::getppid(), *sys::gettid(), 0).error(), ESRCH},
                 {"odd", sys::tgkill(*sys::getpid(), -1, 0).error(), EINVAL},
                 {"signal", sys::tgkill(*sys::getpid(), *sys::gettid(), 1000).error(), EINVAL}});
}

TEST(Processes, SessionsAndGroups) {
  EXPECT_EQ(*sys::getpgrp(), ::getpgrp());
  EXPECT_EQ(*sys::getpgid(0), ::getpgrp());
  EXPECT_EQ(*sys::getsid(0), ::getsid(0));
  const child c;
  EXPECT_TRUE(sys::setpgid(c.pid(), 0));
  EXPECT_EQ(*sys::getpgid(c.pid()), c.pid());
  EXPECT_TRUE(sys::setpgid(c.pid(), ::getpgrp()));
  expect_errors({{"no session", sys::getsid(no_such).error(), ESRCH},
                 {"no group", sys::getpgid(no_such).error(), ESRCH},
                 {"none to move", sys::setpgid(no_such, 0).error(), ESRCH},
                 {"negative", sys::setpgid(c.pid(), -1).error(), EINVAL},
                 {"no such group", sys::setpgid(c.pid(), no_such).error(), EPERM},
                 {"not a child", sys::setpgid(1, 1).error(), ESRCH}});
  const ::pid_t leader = ::fork();
  if (leader == 0) {
    const auto session = sys::setsid();
    const bool right = session && *session == ::getpid() && sys::setsid().error() == EPERM &&
                       sys::setpgid(0, 0).error() == EPERM && *sys::getsid(0) == ::getpid();
    ::_exit(right ? 0 : 1);
  }
  EXPECT_EQ(sys::wait4(leader, 0)->code(), 0);
}

TEST(Processes, LimitsOfOthersAndUsage) {
  const child c;
  ::rlimit former{}, now{};
  const ::rlimit none{0, 0};
  EXPECT_TRUE(sys::prlimit(c.pid(), RLIMIT_CORE, &none, &former));
  EXPECT_EQ(former.rlim_max, sys::getrlimit(RLIMIT_CORE)->rlim_max);
  EXPECT_TRUE(sys::prlimit(c.pid(), RLIMIT_CORE, nullptr, &now));
  EXPECT_EQ(now.rlim_max, 0U);
  const ::rlimit odd{2, 1};
  expect_errors({{"none", sys::prlimit(no_such, RLIMIT_CORE, nullptr, &now).error(), ESRCH},
                 {"resource", sys::prlimit(0, 1000, nullptr, &now).error(), EINVAL},
                 {"soft above hard", sys::prlimit(0, RLIMIT_CORE, &odd, nullptr).error(), EINVAL},
                 {"bad", sys::prlimit(0, RLIMIT_CORE, nowhere<::rlimit>(), nullptr).error(), EFAULT},
                 {"bad to ask", sys::prlimit(0, RLIMIT_CORE, nullptr, nowhere<::rlimit>()).error(), EFAULT},
                 {"usage of whom", sys::getrusage(1000).error(), EINVAL}});
  baton_test::as_nobody([&] {
    EXPECT_EQ(sys::prlimit(c.pid(), RLIMIT_CORE, nullptr, &now).error(), EPERM);
    const ::rlimit more{0, RLIM_INFINITY};
    EXPECT_EQ(sys::prlimit(0, RLIMIT_MEMLOCK, &more, nullptr).error() == EPERM,
              sys::getrlimit(RLIMIT_MEMLOCK)->rlim_max != RLIM_INFINITY);
  });
  EXPECT_GT(sys::getrusage(RUSAGE_SELF)->ru_maxrss, 0);
  EXPECT_TRUE(sys::getrusage(RUSAGE_THREAD));
  EXPECT_TRUE(sys::getrusage(RUSAGE_CHILDREN));
}

TEST(Processes, WaitidSaysWhatChanged) {
  const child c;
  const auto id = static_cast<::id_t>(c.pid());
  ::siginfo_t info{};
  EXPECT_TRUE(sys::waitid(P_PID, id, &info, WEXITED | WNOHANG));
  EXPECT_EQ(info.si_pid, 0) << "no change";
  EXPECT_TRUE(sys::kill(c.pid(), SIGSTOP));
  EXPECT_TRUE(sys::waitid(P_PID, id, &info, WSTOPPED));
  EXPECT_EQ(info.si_code, CLD_STOPPED);
  EXPECT_EQ(info.si_status, SIGSTOP);
  EXPECT_TRUE(sys::kill(c.pid(), SIGCONT));
  EXPECT_TRUE(sys::waitid(P_PID, id, &info, WCONTINUED));
  EXPECT_EQ(info.si_code, CLD_CONTINUED);
  expect_errors({{"no option", sys::waitid(P_PID, id, &info, 0).error(), EINVAL},
                 {"no id", sys::waitid(P_PID, 0, &info, WEXITED).error(), EINVAL},
                 {"no child", sys::waitid(P_PID, 1, &info, WEXITED).error(), ECHILD},
                 {"no descriptor", sys::waitid(P_PIDFD, 100'000, &info, WEXITED).error(), EBADF},
                 {"wait4 options", sys::wait4(c.pid(), nullptr, 0x100).error(), EINVAL},
                 {"wait4 no child", sys::wait4(1, 0).error(), ECHILD}});
  EXPECT_TRUE(sys::kill(c.pid(), SIGKILL));
  EXPECT_TRUE(sys::waitid(P_PID, id, &info, WEXITED | WNOWAIT));
  EXPECT_EQ(sys::waitid(P_PID, id, nowhere<::siginfo_t>(), WEXITED | WNOWAIT).error(), EFAULT);
  EXPECT_EQ(sys::wait4(c.pid(), nowhere<int>(), 0).error(), EFAULT);
}

}  // namespace
