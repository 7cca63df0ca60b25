// Descriptors of events. Not provoked: ENFILE, ENOMEM, ENODEV (they need a kernel without memory or anonymous inodes),
// ECANCELED and EPERM of timerfd (someone sets the clock; wake-up alarms without CAP_WAKE_ALARM), ENOSPC of inotify and
// epoll (the user's limit).
#include <baton/syscall/event_descriptors.h>
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/processes.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "syscall/provoked.h"
#include "syscall/temporary_directory.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using baton_test::nowhere;
using sys::owned_fd;

std::uint64_t number_read(int fd) {
  std::uint64_t n = 0;
  EXPECT_EQ(*sys::read(fd, baton::bytes(&n, sizeof n)), sizeof n);
  return n;
}
void write_number(int fd, std::uint64_t n) { EXPECT_EQ(*sys::write(fd, baton::const_bytes(&n, sizeof n)), sizeof n); }

TEST(EventDescriptors, Eventfd) {
  const owned_fd counter(sys::eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK).value());
  write_number(counter.get(), 4);
  EXPECT_EQ(number_read(counter.get()), 7U);
  std::uint64_t n = UINT64_MAX;
  expect_errors({{"flags", sys::eventfd(0, 0x4000'0000).error(), EINVAL},
                 {"nothing there", sys::read(counter.get(), baton::bytes(&n, 8)).error(), EAGAIN},
                 {"too large a number", sys::write(counter.get(), baton::const_bytes(&n, 8)).error(), EINVAL},
                 {"no room", sys::read(counter.get(), baton::bytes(&n, 7)).error(), EINVAL}});
  const owned_fd units(sys::eventfd(2, EFD_CLOEXEC | EFD_SEMAPHORE).value());
  EXPECT_EQ(number_read(units.get()), 1U);
  const baton_test::lower_limit no_descriptor(RLIMIT_NOFILE, 0);
  EXPECT_EQ(sys::eventfd(0, 0).error(), EMFILE);
}

TEST(EventDescriptors, Timerfd) {
  const owned_fd timer(sys::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC).value());
  ::itimerspec value{{0, 0}, {3600, 0}}, former{};
  EXPECT_TRUE(sys::timerfd_settime(timer.get(), 0, value));
  EXPECT_GT(sys::timerfd_gettime(timer.get())->it_value.tv_sec, 3500);
  value.it_value = {0, 1};
  EXPECT_TRUE(sys::timerfd_settime(timer.get(), 0, value, &former));
  EXPECT_GT(former.it_value.tv_sec, 3500);
  EXPECT_EQ(number_read(timer.get()), 1U);
  const owned_fd pipe_in(sys::pipe2(O_CLOEXEC).value()[0]);
  ::itimerspec odd{};
  odd.it_value.tv_nsec = 1'000'000'000;
  expect_errors({{"clock", sys::timerfd_create(1000, 0).error(), EINVAL},
                 {"flags", sys::timerfd_create(CLOCK_MONOTONIC, 0x4000'0000).error(), EINVAL},
                 {"no descriptor", sys::timerfd_settime(-1, 0, value).error(), EBADF},
                 {"no timer", sys::timerfd_settime(pipe_in.get(), 0, value).error(), EINVAL},
                 {"nanoseconds", sys::timerfd_settime(timer.get(), 0, odd).error(), EINVAL},
                 {"flags to set", sys::timerfd_settime(timer.get(), 0x100, value).error(), EINVAL},
                 {"bad", sys::timerfd_settime(timer.get(), 0, value, nowhere<::itimerspec>()).error(), EFAULT},
                 {"no descriptor to ask", sys::timerfd_gettime(-1).error(), EBADF},
                 {"no timer to ask", sys::timerfd_gettime(pipe_in.get()).error(), EINVAL}});
}

TEST(EventDescriptors, Inotify) {
  const temporary_directory dir;
  const owned_fd queue(sys::inotify_init1(IN_CLOEXEC | IN_NONBLOCK).value());
  const int watch = sys::inotify_add_watch(queue.get(), dir.path(), IN_CREATE).value();
  ASSERT_TRUE(sys::mkdir(dir / "made", 0700));
  alignas(::inotify_event) char room[512];
  const std::size_t n = sys::read(queue.get(), room).value();
  ::inotify_event event;
  ASSERT_GE(n, sizeof event);
  std::memcpy(&event, &room[0], sizeof event);
  EXPECT_EQ(event.wd, watch);
  EXPECT_EQ(event.mask, static_cast<std::uint32_t>(IN_CREATE | IN_ISDIR));
  EXPECT_STREQ(&room[sizeof event], "made");
  const owned_fd pipe_in(sys::pipe2(O_CLOEXEC).value()[0]);
  const std::string made = dir / "made";
  expect_errors(
      {{"init flags", sys::inotify_init1(0x4000'0000).error(), EINVAL},
       {"no mask", sys::inotify_add_watch(queue.get(), made, 0).error(), EINVAL},
       {"none", sys::inotify_add_watch(queue.get(), dir / "none", IN_CREATE).error(), ENOENT},
       {"no descriptor", sys::inotify_add_watch(-1, made, IN_CREATE).error(), EBADF},
       {"no queue", sys::inotify_add_watch(pipe_in.get(), made, IN_CREATE).error(), EINVAL},
       {"NUL", sys::inotify_add_watch(queue.get(), made + std::string(1, '\0'), IN_CREATE).error(), EINVAL},
       {"bad", sys::inotify_add_watch(queue.get(), nowhere<const char>(), IN_CREATE).error(), EFAULT},
       {"too long", sys::inotify_add_watch(queue.get(), dir / std::string(256, 'n'), IN_OPEN).error(), ENAMETOOLONG},
       {"exists", sys::inotify_add_watch(queue.get(), dir.path(), IN_OPEN | IN_MASK_CREATE).error(), EEXIST},
       {"not a directory", sys::inotify_add_watch(queue.get(), "/proc/self/stat", IN_OPEN | IN_ONLYDIR).error(),
        ENOTDIR},
       {"no watch", sys::inotify_rm_watch(queue.get(), watch + 1000).error(), EINVAL},
       {"no descriptor to remove", sys::inotify_rm_watch(-1, watch).error(), EBADF}});
  EXPECT_TRUE(sys::inotify_rm_watch(queue.get(), watch));
  baton_test::as_nobody([&] {
    const owned_fd mine(sys::inotify_init1(IN_CLOEXEC).value());
    EXPECT_EQ(sys::inotify_add_watch(mine.get(), made, IN_CREATE).error(), EACCES);
  });
}

TEST(EventDescriptors, Signalfd) {
  ::sigset_t usr1, former;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &usr1, &former), 0);
  {
    const owned_fd queue(sys::signalfd(-1, usr1, SFD_CLOEXEC).value());
    EXPECT_EQ(*sys::signalfd(queue.get(), usr1, 0), queue.get()) << "the same, with another set";
    ASSERT_TRUE(sys::tgkill(*sys::getpid(), *sys::gettid(), SIGUSR1));
    ::signalfd_siginfo info{};
    EXPECT_EQ(*sys::read(queue.get(), baton::bytes(&info, sizeof info)), sizeof info);
    EXPECT_EQ(info.ssi_signo, static_cast<std::uint32_t>(SIGUSR1));
    const owned_fd pipe_in(sys::pipe2(O_CLOEXEC).value()[0]);
    expect_errors({{"flags", sys::signalfd(-1, usr1, 0x4000'0000).error(), EINVAL},
                   {"no descriptor", sys::signalfd(100'000, usr1, 0).error(), EBADF},
                   {"no queue", sys::signalfd(pipe_in.get(), usr1, 0).error(), EINVAL}});
  }
  ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
}

TEST(EventDescriptors, Epoll) {
  const owned_fd set(sys::epoll_create1(EPOLL_CLOEXEC).value());
  const owned_fd counter(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK).value());
  const owned_fd other(sys::eventfd(0, EFD_CLOEXEC).value());
  ::epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 77;
  ASSERT_TRUE(sys::epoll_ctl(set.get(), EPOLL_CTL_ADD, counter.get(), &event));
  ::epoll_event came[4] = {};
  EXPECT_EQ(*sys::epoll_wait(set.get(), came, 0), 0);
  EXPECT_EQ(*sys::epoll_wait(set.get(), came, 1), 0);
  write_number(counter.get(), 1);
  EXPECT_EQ(*sys::epoll_wait(set.get(), came, -1), 1);
  const std::uint64_t data = came[0].data.u64;  // epoll_event is packed
  EXPECT_EQ(data, 77U);
  const temporary_directory dir;
  const owned_fd file(sys::open(dir / "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  const auto ctl = [&](int in, int what, int fd) { return sys::epoll_ctl(in, what, fd, &event).error(); };
  expect_errors(
      {{"create flags", sys::epoll_create1(1).error(), EINVAL},
       {"exists", ctl(set.get(), EPOLL_CTL_ADD, counter.get()), EEXIST},
       {"no set", ctl(-1, EPOLL_CTL_ADD, counter.get()), EBADF},
       {"a set that is none", ctl(counter.get(), EPOLL_CTL_ADD, other.get()), EINVAL},
       {"itself", ctl(set.get(), EPOLL_CTL_ADD, set.get()), EINVAL},
       {"cannot be polled", ctl(set.get(), EPOLL_CTL_ADD, file.get()), EPERM},
       {"not in it", ctl(set.get(), EPOLL_CTL_MOD, other.get()), ENOENT},
       {"no operation", ctl(set.get(), 99, counter.get()), EINVAL},
       {"bad", sys::epoll_ctl(set.get(), EPOLL_CTL_ADD, counter.get(), nowhere<::epoll_event>()).error(), EFAULT},
       {"no room", sys::epoll_wait(set.get(), {}, 0).error(), EINVAL},
       {"no set to wait for", sys::epoll_wait(-1, came, 1).error(), EBADF},
       {"none to wait for", sys::epoll_wait(counter.get(), came, 1).error(), EINVAL},
       {"bad room", sys::epoll_wait(set.get(), {nowhere<::epoll_event>(), 1}, -1).error(), EFAULT}});
  const owned_fd inner(sys::epoll_create1(EPOLL_CLOEXEC).value());
  ASSERT_EQ(ctl(set.get(), EPOLL_CTL_ADD, inner.get()), 0);
  EXPECT_EQ(ctl(inner.get(), EPOLL_CTL_ADD, set.get()), ELOOP);
  EXPECT_TRUE(sys::epoll_ctl(set.get(), EPOLL_CTL_DEL, counter.get(), nullptr));
}

}  // namespace
