// Calls that continue after a signal, and calls that do not.
#include <baton/syscall/calls.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "syscall/signal_storm.h"

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
