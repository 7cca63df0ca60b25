// Calls that wait for what another fiber does, with one P, and without the monitor's help for undeclared calls: a call
// that did not tell the scheduler would wait for ever.
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/syscall/calls.h>
#include <baton/syscall/owned_fd.h>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "sched/own_process.h"
#include "syscall/temporary_directory.h"

namespace {

namespace sys = baton::sys;
using sys::owned_fd;

struct pipe_ends {
  pipe_ends() {
    const auto ends = sys::pipe2(O_CLOEXEC).value();
    in = owned_fd(ends[0]);
    out = owned_fd(ends[1]);
  }
  owned_fd in, out;
};

// The waiting call, and what another fiber does to end it. Returns the call's errno.
struct wait {
  const char* name;
  std::function<int()> call;
  std::function<void()> end;
};

::pid_t child_that_waits() {
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // should the test end early
    for (;;) ::pause();
  }
  if (child < 0) std::_Exit(125);
  return child;
}

int wait_for_each() {
  const temporary_directory dir;
  const std::string fifo = dir / "fifo", file = dir / "file";
  pipe_ends pipe, other;
  const auto pair = sys::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC).value();
  const owned_fd near(pair[0]), far(pair[1]);
  const owned_fd set(sys::epoll_create1(EPOLL_CLOEXEC).value());
  const owned_fd counter(sys::eventfd(0, EFD_CLOEXEC).value());
  ::epoll_event readable{};
  readable.events = EPOLLIN;
  (void)sys::epoll_ctl(set.get(), EPOLL_CTL_ADD, near.get(), &readable);
  (void)sys::mkfifo(fifo, 0600).value();
  const owned_fd first(sys::open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  const owned_fd second(sys::open(file, O_RDWR | O_CLOEXEC).value());
  char byte[8];
  const ::iovec room{&byte[0], 1};
  owned_fd writing;
  const ::pid_t one_child = child_that_waits(), another_child = child_that_waits();
  const auto write_a_byte = [&] { (void)sys::write(pipe.out.get(), "x").value(); };
  struct ::flock whole {};
  whole.l_type = F_WRLCK;
  const wait waits[] = {
      {"splice", [&] { return sys::splice(pipe.in.get(), nullptr, other.out.get(), nullptr, 1, 0).error(); },
       write_a_byte},
      {"vmsplice",
       [&] {
         return sys::vmsplice(pipe.in.get(), {&room, 1}, 0).error();
       },
       write_a_byte},
      {"tee", [&] { return sys::tee(pipe.in.get(), other.out.get(), 1, 0).error(); }, write_a_byte},
      {"eventfd", [&] { return sys::read(counter.get(), byte).error(); },
       [&] {
         const std::uint64_t one = 1;
         (void)sys::write(counter.get(), baton::const_bytes(&one, sizeof one)).value();
       }},
      {"epoll_wait",
       [&] {
         ::epoll_event came{};
         return sys::epoll_wait(set.get(), {&came, 1}, -1).error();
       },
       [&] { (void)sys::send(far.get(), "abc").value(); }},
      {"recvmmsg",
       [&] {
         (void)sys::recv(near.get(), byte).value();
         ::mmsghdr message{};
         ::iovec into{&byte[0], 8};
         message.msg_hdr.msg_iov = &into;
         message.msg_hdr.msg_iovlen = 1;
         return sys::recvmmsg(near.get(), {&message, 1}, 0).error();
       },
       [&] { (void)sys::send(far.get(), "abc").value(); }},
      {"openat",
       [&] {
         const auto opened = sys::openat(AT_FDCWD, fifo, O_RDONLY | O_CLOEXEC);
         (void)owned_fd(opened.value_or(-1));
         return opened.error();
       },
       [&] { writing.reset(sys::open(fifo, O_WRONLY | O_CLOEXEC).value()); }},
      {"flock",
       [&] {
         (void)sys::flock(first.get(), LOCK_EX).value();
         return 0;
       },
       [] {}},
      {"flock, held", [&] { return sys::flock(second.get(), LOCK_EX).error(); },
       [&] { (void)sys::flock(first.get(), LOCK_UN).value(); }},
      {"fcntl", [&] { return sys::fcntl(first.get(), F_OFD_SETLK, &whole).error(); }, [] {}},
      {"fcntl, held", [&] { return sys::fcntl(second.get(), F_OFD_SETLKW, &whole).error(); },
       [&] {
         struct ::flock none = whole;
         none.l_type = F_UNLCK;
         (void)sys::fcntl(first.get(), F_OFD_SETLK, &none).value();
       }},
      {"waitid", [&] { return sys::waitid(P_PID, static_cast<::id_t>(one_child), nullptr, WEXITED).error(); },
       [&] { (void)sys::kill(one_child, SIGKILL).value(); }},
      {"wait4", [&] { return sys::wait4(another_child, 0).error(); },
       [&] { (void)sys::kill(another_child, SIGKILL).value(); }},
  };
  int wrong = 0;
  for (const wait& w : waits) {
    auto other_fiber = baton::spawn([&] { w.end(); });
    if (const int error = w.call(); error != 0) {
      std::fprintf(stderr, "%s: error %d\n", w.name, error);
      ++wrong;
    }
    other_fiber.join();
  }
  return wrong;
}

class WaitingCallsDeathTest : public baton_test::own_process_test {};

TEST_F(WaitingCallsDeathTest, LetTheFiberRunThatEndsThem) {
  EXPECT_EXIT(
      {
        baton::options alone;
        alone.procs = 1;
        alone.rescue = false;
        std::_Exit(baton::run(wait_for_each, alone));
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
