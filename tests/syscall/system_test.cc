// Ids, scheduling, and what the kernel knows of the machine; the names of errno values.
//
// Not provoked: ENOSYS of getrandom (an older kernel), EAGAIN of getrandom (the first seconds of a machine).
#include <baton/syscall/error_name.h>
#include <baton/syscall/ids.h>
#include <baton/syscall/processes.h>
#include <baton/syscall/scheduling.h>
#include <baton/syscall/system.h>

#include <sched.h>
#include <unistd.h>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "syscall/provoked.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using baton_test::nowhere;

constexpr ::pid_t nobody = 0x3fff'ffff;  // above the kernel's largest id

TEST(Ids, AreTheProcesss) {
  EXPECT_EQ(*sys::getuid(), ::getuid());
  EXPECT_EQ(*sys::geteuid(), ::geteuid());
  EXPECT_EQ(*sys::getgid(), ::getgid());
  EXPECT_EQ(*sys::getegid(), ::getegid());
  EXPECT_EQ(sys::getresuid()->saved, ::geteuid());
  EXPECT_EQ(sys::getresgid()->real, ::getgid());
  baton_test::as_nobody([] {
    EXPECT_EQ(*sys::getuid(), 65534U);
    EXPECT_EQ(sys::getresuid()->effective, 65534U);
    EXPECT_EQ(*sys::getegid(), 65534U);
  });
  const std::size_t n = sys::getgroups({}).value();
  std::vector<::gid_t> groups(n), same(n);
  EXPECT_EQ(*sys::getgroups(groups), n);
  EXPECT_EQ(::getgroups(static_cast<int>(n), same.data()), static_cast<int>(n));
  EXPECT_EQ(groups, same);
  if (n > 0) {
    expect_errors({{"bad", sys::getgroups({nowhere<::gid_t>(), n}).error(), EFAULT}});
  }
}

TEST(Scheduling, Affinity) {
  const ::cpu_set_t former = sys::sched_getaffinity(0).value();
  ::cpu_set_t libcs;
  ASSERT_EQ(::sched_getaffinity(0, sizeof libcs, &libcs), 0);
  EXPECT_TRUE(CPU_EQUAL(&former, &libcs));
  ::cpu_set_t none, large[4];
  CPU_ZERO(&none);
  std::memset(&large[0], 0xff, sizeof large);
  const auto n = sys::sched_getaffinity(0, sizeof large, &large[0]);
  ASSERT_TRUE(n) << n.error();
  EXPECT_EQ(CPU_COUNT_S(sizeof large, &large[0]), CPU_COUNT(&former)) << "what the kernel did not write is cleared";
  std::thread([&] {
    ::cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
      if (CPU_ISSET(cpu, &former)) CPU_SET(cpu, &one);
    }
    EXPECT_TRUE(sys::sched_setaffinity(0, one));
    const ::cpu_set_t now = sys::sched_getaffinity(0).value();
    EXPECT_TRUE(CPU_EQUAL(&now, &one));
    EXPECT_EQ(sys::sched_setaffinity(0, none).error(), EINVAL);
  }).join();
  expect_errors({{"none such to set", sys::sched_setaffinity(nobody, former).error(), ESRCH},
                 {"none such to ask", sys::sched_getaffinity(nobody).error(), ESRCH},
                 {"no room", sys::sched_getaffinity(0, 1, &libcs).error(), EINVAL},
                 {"bad to set", sys::sched_setaffinity(0, sizeof none, nowhere<::cpu_set_t>()).error(), EFAULT},
                 {"bad to ask", sys::sched_getaffinity(0, sizeof none, nowhere<::cpu_set_t>()).error(), EFAULT}});
  baton_test::as_nobody([&] { EXPECT_EQ(sys::sched_setaffinity(::getppid(), former).error(), EPERM); });
}

TEST(Scheduling, Priority) {
  std::thread([] {
    const int former = sys::getpriority(PRIO_PROCESS, 0).value();
    const int nicer = former < 19 ? former + 1 : 19;
    EXPECT_TRUE(sys::setpriority(PRIO_PROCESS, 0, nicer));
    EXPECT_EQ(*sys::getpriority(PRIO_PROCESS, 0), nicer);
    EXPECT_TRUE(sys::setpriority(PRIO_PROCESS, 0, 100)) << "is 19";
    EXPECT_EQ(*sys::getpriority(PRIO_PROCESS, 0), 19);
  }).join();
  constexpr auto none = static_cast<::id_t>(nobody);
  expect_errors({{"which", sys::getpriority(99, 0).error(), EINVAL},
                 {"which to set", sys::setpriority(99, 0, 0).error(), EINVAL},
                 {"none", sys::getpriority(PRIO_PROCESS, none).error(), ESRCH},
                 {"none to set", sys::setpriority(PRIO_PROCESS, none, 0).error(), ESRCH}});
  baton_test::as_nobody([] {
    const baton_test::lower_limit no_nice(RLIMIT_NICE, 0);
    EXPECT_EQ(sys::setpriority(PRIO_PROCESS, 0, -20).error(), EACCES);
    EXPECT_EQ(sys::setpriority(PRIO_PROCESS, static_cast<::id_t>(::getppid()), 19).error(), EPERM);
  });
}

TEST(System, Names) {
  ::utsname libcs;
  ASSERT_EQ(::uname(&libcs), 0);
  const auto names = sys::uname().value();
  EXPECT_STREQ(names.sysname, "Linux");
  EXPECT_STREQ(names.release, libcs.release);
  EXPECT_STREQ(names.machine, libcs.machine);
  struct ::sysinfo info {};
  ASSERT_TRUE(sys::sysinfo(&info));
  EXPECT_GT(info.totalram, 0U);
  EXPECT_GT(info.procs, 0);
  EXPECT_EQ(sys::sysinfo(nowhere<struct ::sysinfo>()).error(), EFAULT);
}

TEST(System, RandomBytes) {
  std::string a(64, '\0'), b(64, '\0');
  EXPECT_EQ(*sys::getrandom(a), 64U);
  EXPECT_EQ(*sys::getrandom(b, GRND_NONBLOCK), 64U);
  EXPECT_NE(a, b);
  expect_errors({{"flags", sys::getrandom(a, 0x4000).error(), EINVAL},
                 {"both sources", sys::getrandom(a, GRND_RANDOM | 4 /* GRND_INSECURE */).error(), EINVAL},
                 {"bad", sys::getrandom(baton::bytes(nowhere<char>(), 8)).error(), EFAULT}});
}

TEST(ErrorName, OfEveryNumber) {
  EXPECT_EQ(sys::error_name(ENOENT), "ENOENT");
  EXPECT_EQ(sys::error_name(EWOULDBLOCK), "EAGAIN");
  EXPECT_EQ(sys::error_name(EHWPOISON), "EHWPOISON");
  for (const int none : {0, -1, 41, 134, 512, 4095, INT_MAX, INT_MIN}) EXPECT_EQ(sys::error_name(none), "E?") << none;
  for (int error = 1; error <= EHWPOISON; ++error) {
    if (error == 41 || error == 58) continue;  // unused
    EXPECT_TRUE(sys::error_name(error).starts_with("E") && sys::error_name(error) != "E?") << error;
  }
}

}  // namespace
