// Calls that continue after a signal, and calls that do not.
#include <baton/sched/platform/atomic.h>  // BATON_TSAN
#include <baton/syscall/calls.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>

#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "syscall/signal_storm.h"
#include "syscall/temporary_directory.h"
#include "system_call_filter.h"

namespace {

namespace sys = baton::sys;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

// Runs `then` on another thread once the storm has interrupted this one `times` more times.
template <class F>
std::thread after_interruptions(int times, F then) {
  return std::thread([times, then] {
    ::sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    const int enough = signal_storm::handled().load() + times;
    while (signal_storm::handled().load() < enough) std::this_thread::yield();
    then();
  });
}

// Repeats until the storm has interrupted the call often enough: on a busy machine signals come late and merge.
template <class F>
void in_a_storm(F sleeps_60ms) {
  const signal_storm storm;
  do {
    const auto began = clock_type::now();
    sleeps_60ms();
    ASSERT_GE(clock_type::now() - began, 60ms);
  } while (storm.handled().load() < 3);
}

TEST(Eintr, NanosleepSleepsItsWholeTimeInASignalStorm) {
  in_a_storm([] {
    const auto slept = sys::nanosleep(60ms);
    EXPECT_TRUE(slept) << slept.error();
  });
}

TEST(Eintr, PollWaitsItsWholeTimeInASignalStorm) {
  in_a_storm([] {
    const auto none = sys::poll({}, 60);
    ASSERT_TRUE(none) << none.error();
    EXPECT_EQ(*none, 0);
  });
}

TEST(Eintr, ReadGoesOnUntilSomethingComes) {
  const auto ends = sys::pipe2(O_CLOEXEC).value();
  const sys::owned_fd in(ends[0]);
  const sys::owned_fd out(ends[1]);
  const signal_storm storm;
  std::thread writer = after_interruptions(5, [&] { EXPECT_EQ(*sys::write(out.get(), "x"), 1U); });
  char c = 0;
  const auto n = sys::read(in.get(), baton::bytes(&c, 1));
  writer.join();
  ASSERT_TRUE(n) << n.error();
  EXPECT_EQ(*n, 1U);
  EXPECT_EQ(c, 'x');
}

TEST(Eintr, AcceptGoesOnUntilSomebodyConnects) {
  const sys::owned_fd listener(sys::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC).value());
  ::sockaddr name{AF_UNIX, {}};
  ASSERT_TRUE(sys::bind(listener.get(), &name, sizeof name.sa_family));  // the kernel gives it an abstract name
  ASSERT_TRUE(sys::listen(listener.get(), 1));
  ::sockaddr_storage where{};
  ::socklen_t size = sizeof where;
  auto* const at = reinterpret_cast<::sockaddr*>(&where);
  ASSERT_TRUE(sys::getsockname(listener.get(), at, &size));
  const sys::owned_fd client(sys::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC).value());

  const signal_storm storm;
  std::thread dialer = after_interruptions(5, [&] { EXPECT_TRUE(sys::connect(client.get(), at, size)); });
  const auto accepted = sys::accept4(listener.get(), SOCK_CLOEXEC);
  dialer.join();
  ASSERT_TRUE(accepted) << accepted.error();
  const sys::owned_fd server(*accepted);
  EXPECT_EQ(*sys::send(server.get(), "hi"), 2U);
}

// Each call waits for the byte that another thread writes into the pipe.
TEST(Eintr, WhatWaitsForAPipeGoesOn) {
  const auto ends = sys::pipe2(O_CLOEXEC).value();
  const auto others = sys::pipe2(O_CLOEXEC).value();
  const sys::owned_fd in(ends[0]), out(ends[1]), other_in(others[0]), other_out(others[1]);
  const sys::owned_fd set(sys::epoll_create1(EPOLL_CLOEXEC).value());
  ::epoll_event readable{};
  readable.events = EPOLLIN;
  ASSERT_TRUE(sys::epoll_ctl(set.get(), EPOLL_CTL_ADD, in.get(), &readable));
  char byte[8];
  const ::iovec room{&byte[0], 1};
  struct wait {
    const char* name;
    std::function<sys::result<std::size_t>()> call;
  };
  const wait waits[] = {
      {"tee", [&] { return sys::tee(in.get(), other_out.get(), 1, 0); }},
      {"splice", [&] { return sys::splice(in.get(), nullptr, other_out.get(), nullptr, 1, 0); }},
      {"vmsplice",
       [&] {
         return sys::vmsplice(in.get(), {&room, 1}, 0);
       }},
      {"readv",
       [&] {
         return sys::readv(in.get(), {&room, 1});
       }},
      {"epoll_wait",
       [&] {
         ::epoll_event came{};
         return sys::result<std::size_t>(static_cast<std::size_t>(sys::epoll_wait(set.get(), {&came, 1}, -1).value()));
       }},
  };
  for (const wait& w : waits) {
    const signal_storm storm;
    std::thread writer = after_interruptions(3, [&] { EXPECT_EQ(*sys::write(out.get(), "x"), 1U); });
    const auto n = w.call();
    writer.join();
    ASSERT_TRUE(n) << w.name << ": " << n.error();
    EXPECT_EQ(*n, 1U) << w.name;
    ASSERT_TRUE(sys::fcntl(in.get(), F_SETFL, O_NONBLOCK));
    (void)sys::nb::read(in.get(), byte);
    ASSERT_TRUE(sys::fcntl(in.get(), F_SETFL, 0));
  }
}

TEST(Eintr, EpollWaitWaitsItsWholeTimeInASignalStorm) {
  const sys::owned_fd set(sys::epoll_create1(EPOLL_CLOEXEC).value());
  in_a_storm([&] {
    ::epoll_event came{};
    EXPECT_EQ(sys::epoll_wait(set.get(), {&came, 1}, 60), 0);
  });
}

TEST(Eintr, OpenGoesOnUntilTheFifoHasAnotherEnd) {
  const temporary_directory dir;
  const std::string fifo = dir / "fifo";
  ASSERT_TRUE(sys::mkfifo(fifo, 0600));
  const signal_storm storm;
  sys::owned_fd writing;
  std::thread writer = after_interruptions(3, [&] { writing.reset(sys::open(fifo, O_WRONLY | O_CLOEXEC).value()); });
  const auto reading = sys::openat(AT_FDCWD, fifo, O_RDONLY | O_CLOEXEC);
  writer.join();
  ASSERT_TRUE(reading) << reading.error();
  (void)sys::owned_fd(*reading);
}

TEST(Eintr, LocksGoOn) {
  const temporary_directory dir;
  const sys::owned_fd first(sys::open(dir / "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  const sys::owned_fd second(sys::open(dir / "f", O_RDWR | O_CLOEXEC).value());
  struct ::flock whole {};
  whole.l_type = F_WRLCK;
  struct ::flock none = whole;
  none.l_type = F_UNLCK;
  ASSERT_TRUE(sys::flock(first.get(), LOCK_EX));
  ASSERT_TRUE(sys::fcntl(first.get(), F_OFD_SETLK, &whole));
  const signal_storm storm;
  std::thread opener = after_interruptions(3, [&] { EXPECT_TRUE(sys::flock(first.get(), LOCK_UN)); });
  EXPECT_TRUE(sys::flock(second.get(), LOCK_EX));
  opener.join();
  opener = after_interruptions(3, [&] { EXPECT_TRUE(sys::fcntl(first.get(), F_OFD_SETLK, &none)); });
  EXPECT_TRUE(sys::fcntl(second.get(), F_OFD_SETLKW, &whole));
  opener.join();
}

TEST(Eintr, ReceivingSeveralMessagesGoesOn) {
  const auto ends = sys::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC).value();
  const sys::owned_fd a(ends[0]), b(ends[1]);
  char first[4], second[4];
  ::iovec rooms[2] = {{&first[0], 4}, {&second[0], 4}};
  ::mmsghdr messages[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    messages[i].msg_hdr.msg_iov = &rooms[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const signal_storm storm;
  std::thread sender = after_interruptions(3, [&] { EXPECT_EQ(*sys::send(a.get(), "abc"), 3U); });
  const auto n = sys::recvmmsg(b.get(), messages, MSG_WAITFORONE);
  sender.join();
  ASSERT_TRUE(n) << n.error();
  EXPECT_EQ(*n, 1U);
  EXPECT_EQ(messages[0].msg_len, 3U);
}

TEST(Eintr, WaitingForAChildGoesOn) {
  for (const bool by_waitid : {false, true}) {
    const ::pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (;;) ::pause();
    }
    const signal_storm storm;
    std::thread killer = after_interruptions(3, [&] { EXPECT_TRUE(sys::kill(child, SIGKILL)); });
    ::siginfo_t info{};
    const int error = by_waitid ? sys::waitid(P_PID, static_cast<::id_t>(child), &info, WEXITED).error()
                                : sys::wait4(child, 0).error();
    killer.join();
    EXPECT_EQ(error, 0) << by_waitid;
  }
}

#if !BATON_TSAN  // whose own calls the filter would see, too
// A request that waits: for a call that a filter of seccomp reports, and that no thread makes.
TEST(Eintr, IoctlTellsOfIt) {
  std::atomic<int> listener{-2};
  std::atomic<bool> done{false};
  std::thread filtered([&] {
    listener = baton_test::filter_call(SYS_quotactl, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    while (!done) std::this_thread::yield();
  });
  while (listener == -2) std::this_thread::yield();
  {
    const sys::owned_fd requests(listener.load());
    if (requests) {
      const signal_storm storm;
      ::seccomp_notif request{};
      EXPECT_EQ(sys::ioctl(requests.get(), SECCOMP_IOCTL_NOTIF_RECV, &request).error(), EINTR);
    }
  }
  done = true;
  filtered.join();
}
#endif

TEST(Eintr, ARawCallTellsOfIt) {
  const auto ends = sys::pipe2(O_CLOEXEC).value();
  const sys::owned_fd in(ends[0]);
  const sys::owned_fd out(ends[1]);
  const signal_storm storm;
  char c = 0;
  const auto n = sys::syscall(SYS_read, in.get(), &c, 1);
  EXPECT_EQ(n.error(), EINTR);
}

TEST(Eintr, ErrnoIsUntouchedByInterruptedCalls) {
  const signal_storm storm;
  errno = 77;
  const auto slept = sys::nanosleep(5ms);
  const int kept = errno;
  EXPECT_TRUE(slept);
  EXPECT_EQ(kept, 77);
}

TEST(Nanosleep, NothingAndLessReturnAtOnce) {
  EXPECT_TRUE(sys::nanosleep(0s));
  EXPECT_TRUE(sys::nanosleep(-1h));
  EXPECT_TRUE(sys::nanosleep(std::chrono::hours::min()));
}

}  // namespace
