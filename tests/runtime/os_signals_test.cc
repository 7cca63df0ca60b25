#include <baton/netpoll/net.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::channel;
using baton::channel_status;
namespace os_signals = baton::os_signals;

class OsSignal : public testing::Test {};

void send(int signal) { ASSERT_EQ(0, ::kill(::getpid(), signal)); }

// A fiber delivers the signals. To see that a channel gets none, the test waits until another channel has got a later
// signal.
class flush {
 public:
  flush() { os_signals::notify(all_, {SIGURG}); }
  ~flush() { os_signals::stop(all_); }
  void operator()() const {
    send(SIGURG);
    EXPECT_EQ(SIGURG, all_.receive());
  }

 private:
  channel<int> all_;
};

TEST_F(OsSignal, AreReceived) {
  baton::run([] {
    channel<int> c(4);
    os_signals::notify(c, {SIGUSR1, SIGUSR2});
    send(SIGUSR1);
    EXPECT_EQ(SIGUSR1, c.receive());
    send(SIGUSR2);
    EXPECT_EQ(SIGUSR2, c.receive());
    os_signals::stop(c);
  });
}

TEST_F(OsSignal, ReachAPlainThreadThatWaits) {
  channel<int> c;
  os_signals::notify(c, {SIGUSR1});
  std::jthread sender([] { send(SIGUSR1); });
  EXPECT_EQ(SIGUSR1, c.receive());
  os_signals::stop(c);
}

TEST_F(OsSignal, AreKeptUntilReceived) {
  baton::run([] {
    // There is no receiver yet, and the channel has no room.
    channel<int> c;
    os_signals::notify(c, {SIGUSR1, SIGUSR2, SIGWINCH});
    const flush all_handled;
    send(SIGUSR1);
    send(SIGUSR2);
    send(SIGWINCH);
    all_handled();
    std::vector<int> got;
    for (int i = 0; i < 3; ++i) got.push_back(c.receive().value());
    std::sort(got.begin(), got.end());
    EXPECT_EQ((std::vector<int>{SIGUSR1, SIGUSR2, SIGWINCH}), got);
    os_signals::stop(c);
  });
}

TEST_F(OsSignal, EqualOnesCoalesceButTheLastIsNeverLost) {
  baton::run([] {
    channel<int> c;
    os_signals::notify(c, {SIGUSR1});
    const flush all_handled;
    for (int i = 0; i < 1000; ++i) send(SIGUSR1);
    all_handled();
    int got = 0;
    std::optional<int> s;
    while (c.receive_for(s, got == 0 ? 10s : 200ms) == channel_status::ok) ++got;
    EXPECT_GE(got, 1);
    EXPECT_LE(got, 2) << "one on offer, one pending";
    send(SIGUSR1);
    EXPECT_EQ(SIGUSR1, c.receive());
    os_signals::stop(c);
  });
}

// The sender is told of a signal equal to the one that it offers: the two become one. A busy thread may run a signal's
// handler after the last one has been received. Then stop() raises the signal again. These two signals are ignored by
// default.
TEST_F(OsSignal, OneThatIsOnOfferStandsForAllThatCameMeanwhile) {
  baton::run([] {
    channel<int> c;
    os_signals::notify(c, {SIGCHLD, SIGWINCH});
    const flush all_handled;
    for (int i = 0; i < 100; ++i) {
      send(SIGCHLD);
      all_handled();
    }
    // When the sender offers the other signal, it has seen all of the first kind.
    send(SIGWINCH);
    all_handled();
    std::vector<int> got;
    while (got.empty() || got.back() != SIGWINCH) got.push_back(c.receive().value());
    EXPECT_GE(got.size(), 2U);
    EXPECT_LE(got.size(), 3U);
    os_signals::stop(c);
  });
}

// A sender that holds a signal without a receiver ends with stop(), and releases its handle of the channel. The signal
// is raised again; this one is ignored then.
TEST_F(OsSignal, StopWithdrawsWhatIsOnOffer) {
  baton::run([] {
    const auto before = baton::stats().fibers;
    for (int i = 0; i < 20; ++i) {
      channel<int> c;
      os_signals::notify(c, {SIGWINCH});
      {
        const flush all_handled;
        send(SIGWINCH);
        all_handled();
      }
      os_signals::stop(c);
      // Until the offer is withdrawn a receiver may get it; after that no receiver gets one.
      std::optional<int> s;
      while (c.try_receive(s) == channel_status::ok) {
      }
    }
    // No sender is left.
    while (baton::stats().fibers >= before + 10) baton::this_fiber::yield();
  });
}

// A signal is received after each signal that was sent. If one were lost, the test would wait for ever.
TEST_F(OsSignal, StormsLoseNoLastOne) {
  baton::run([] {
    constexpr int senders = 3;
    constexpr int each = 500;
    // stop() raises again what comes after the last receive: these signals are ignored then.
    const std::vector<int> kinds{SIGCHLD, SIGCONT, SIGWINCH};
    std::vector<std::atomic<int>> sent(kinds.size());
    std::vector<baton::fiber<void>> readers;
    std::vector<channel<int>> channels;
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      channels.emplace_back(k % 2);
      os_signals::notify(channels.back(), {kinds[k]});
    }
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      readers.push_back(baton::spawn([&, k] {
        for (;;) {
          ASSERT_EQ(channels[k].receive(), kinds[k]);
          // A signal is counted before it is sent, so the last one is received after this condition holds.
          if (sent[k] == senders * each) return;
          if (k == 0) baton::this_fiber::sleep_for(100us);
        }
      }));
    }
    std::vector<std::jthread> threads;
    for (int i = 0; i < senders; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < each; ++n) {
          for (std::size_t k = 0; k < kinds.size(); ++k) {
            ++sent[k];
            send(kinds[k]);
          }
        }
      });
    }
    for (auto& r : readers) r.join();
    threads.clear();
    // The last signals may still wait in the kernel until a thread takes them. After stop() they would end the process.
    // A thread takes signals with lower numbers first.
    const flush all_handled;
    all_handled();
    for (auto& c : channels) os_signals::stop(c);
  });
}

TEST_F(OsSignal, EveryOneThatIsReceivedBeforeTheNextCounts) {
  baton::run([] {
    channel<int> c;
    os_signals::notify(c, {SIGUSR1});
    for (int i = 0; i < 1000; ++i) {
      send(SIGUSR1);
      ASSERT_EQ(SIGUSR1, c.receive());
    }
    os_signals::stop(c);
  });
}

TEST_F(OsSignal, GoToEveryChannelThatWantsThem) {
  baton::run([] {
    std::vector<channel<int>> all;
    for (int i = 0; i < 20; ++i) {
      all.emplace_back(1);
      os_signals::notify(all.back(), {SIGUSR1});
    }
    os_signals::notify(all.front(), {SIGUSR2});
    send(SIGUSR1);
    for (auto& c : all) EXPECT_EQ(SIGUSR1, c.receive());
    send(SIGUSR2);
    EXPECT_EQ(SIGUSR2, all.front().receive());
    for (auto& c : all) os_signals::stop(c);
  });
}

TEST_F(OsSignal, StopEndsItForThatChannel) {
  baton::run([] {
    channel<int> stopped(1);
    channel<int> other(1);
    os_signals::notify(stopped, {SIGUSR1});
    os_signals::notify(other, {SIGUSR1});
    os_signals::stop(stopped);
    const flush all_handled;
    send(SIGUSR1);
    EXPECT_EQ(SIGUSR1, other.receive());
    all_handled();
    std::optional<int> none;
    EXPECT_EQ(channel_status::would_block, stopped.try_receive(none));
    os_signals::stop(other);
    os_signals::stop(other);
  });
}

TEST_F(OsSignal, AChannelThatNobodyReadsHoldsUpNoOther) {
  baton::run([] {
    channel<int> silent;
    channel<int> busy(1);
    os_signals::notify(silent, {SIGUSR1});
    os_signals::notify(busy, {SIGUSR1});
    for (int i = 0; i < 10; ++i) {
      send(SIGUSR1);
      EXPECT_EQ(SIGUSR1, busy.receive());
    }
    os_signals::stop(silent);
    os_signals::stop(busy);
  });
}

TEST_F(OsSignal, ClosingTheChannelEndsIt) {
  baton::run([] {
    channel<int> c;
    channel<int> other(1);
    os_signals::notify(c, {SIGUSR1});
    os_signals::notify(other, {SIGUSR1});
    c.close();
    for (int i = 0; i < 3; ++i) {
      send(SIGUSR1);
      EXPECT_EQ(SIGUSR1, other.receive());
    }
    os_signals::stop(other);
  });
}

void (*handler_of(int signal))(int) {
  struct sigaction now;
  ::sigaction(signal, nullptr, &now);
  return now.sa_handler;
}

TEST_F(OsSignal, IgnoreAndReset) {
  baton::run([] {
    channel<int> c(1);
    ASSERT_EQ(SIG_DFL, handler_of(SIGUSR2));
    os_signals::notify(c, {SIGUSR2});
    EXPECT_NE(SIG_DFL, handler_of(SIGUSR2));
    os_signals::ignore({SIGUSR2});
    EXPECT_EQ(SIG_IGN, handler_of(SIGUSR2));
    send(SIGUSR2);  // it would end the process
    const flush all_handled;
    all_handled();
    std::optional<int> none;
    EXPECT_EQ(channel_status::would_block, c.try_receive(none));
    os_signals::notify(c, {SIGUSR2});
    send(SIGUSR2);
    EXPECT_EQ(SIGUSR2, c.receive());
    os_signals::reset({SIGUSR2});
    EXPECT_EQ(SIG_DFL, handler_of(SIGUSR2));
    os_signals::notify(c, {SIGUSR2});
    os_signals::stop(c);
    EXPECT_EQ(SIG_DFL, handler_of(SIGUSR2));
  });
}

TEST_F(OsSignal, SigpipeIsHarmlessAgainAfterStop) {
  baton::run([] {
    const auto former = handler_of(SIGPIPE);
    EXPECT_NE(SIG_DFL, former);
    channel<int> c(1);
    os_signals::notify(c, {SIGPIPE});
    send(SIGPIPE);
    EXPECT_EQ(SIGPIPE, c.receive());
    os_signals::stop(c);
    EXPECT_EQ(former, handler_of(SIGPIPE));
    os_signals::ignore({SIGPIPE});
    EXPECT_EQ(SIG_IGN, handler_of(SIGPIPE));
    os_signals::reset({SIGPIPE});
    EXPECT_EQ(former, handler_of(SIGPIPE));
    send(SIGPIPE);
  });
}

class OsSignalDeathTest : public OsSignal {
 protected:
  OsSignalDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(OsSignalDeathTest, AResetSignalActsAsBefore) {
  EXPECT_EXIT(baton::run([] {
                channel<int> c(1);
                os_signals::notify(c, {SIGTERM});
                send(SIGTERM);
                EXPECT_EQ(SIGTERM, c.receive());
                os_signals::reset();
                send(SIGTERM);
                baton::event().wait();
              }),
              testing::KilledBySignal(SIGTERM), "");
}

// The signals end the process as they did before notify(). The test waits for that; otherwise the process ends well.
TEST_F(OsSignalDeathTest, WhatWasNotTakenIsRaisedAgain) {
  const auto untaken = [](void (*end)(const channel<int>&)) {
    static_cast<void>(baton::run([=] {
      channel<int> c;
      os_signals::notify(c, {SIGTERM});
      end(c);
      baton::this_fiber::sleep_for(10s);
    }));
    std::_Exit(0);
  };
  EXPECT_EXIT(untaken([](const channel<int>& c) {
                send(SIGTERM);
                os_signals::stop(c);
              }),
              testing::KilledBySignal(SIGTERM), "");
  EXPECT_EXIT(untaken([](const channel<int>&) {
                send(SIGTERM);
                os_signals::reset({SIGTERM});
              }),
              testing::KilledBySignal(SIGTERM), "");
  EXPECT_EXIT(untaken([](const channel<int>& c) {
                const flush all_handled;
                send(SIGTERM);
                all_handled();  // so the signal is on offer
                os_signals::stop(c);
              }),
              testing::KilledBySignal(SIGTERM), "");
  EXPECT_EXIT(untaken([](const channel<int>& c) {
                c.close();
                send(SIGTERM);
              }),
              testing::KilledBySignal(SIGTERM), "");
}

TEST_F(OsSignal, IsNotRaisedAgainIfItCameForAnotherChannelToo) {
  baton::run([] {
    channel<int> silent;
    channel<int> other;
    os_signals::notify(silent, {SIGUSR1, SIGUSR2});
    os_signals::notify(other, {SIGUSR1, SIGUSR2});
    const flush all_handled;
    send(SIGUSR1);
    send(SIGUSR2);
    all_handled();
    EXPECT_TRUE(other.receive());
    EXPECT_TRUE(other.receive());
    os_signals::stop(other);
    os_signals::stop(silent);
    EXPECT_EQ(SIG_DFL, handler_of(SIGUSR1));
    all_handled();
  });
}

[[gnu::noinline]] void write_to(volatile int* p) {
  asm volatile("" : "+r"(p));
  *p = 1;
}

TEST_F(OsSignalDeathTest, AFaultIsNoElementButEndsTheProcess) {
#if BATON_ASAN || BATON_TSAN
  GTEST_SKIP() << "the sanitizer reports the fault, and exits";
#endif
  EXPECT_EXIT(baton::run([] {
                ::alarm(10);  // a fault that was taken for an element would come back for ever
                channel<int> c;
                os_signals::notify(c, {SIGSEGV, SIGFPE, SIGBUS, SIGILL});
                send(SIGSEGV);
                EXPECT_EQ(SIGSEGV, c.receive());
                write_to(nullptr);
              }),
              testing::KilledBySignal(SIGSEGV), "");
}

[[gnu::noinline]] int recurse(int depth) {
  volatile char room[512] = {};
  room[0] = static_cast<char>(depth);
  return depth == 0 ? 0 : recurse(depth - 1) + room[0];
}

TEST_F(OsSignalDeathTest, AStackOverflowIsStillReported) {
  EXPECT_DEATH(baton::run([] {
                 ::alarm(10);
                 os_signals::notify(channel<int>(), {SIGSEGV, SIGBUS});
                 std::_Exit(recurse(100'000'000));
               }),
               "stack overflow in fiber");
}

// While the process exits, a fiber that enters the runtime is held for good: it must not hold the lock then.
struct stops_at_exit {
  channel<int> c;
  ~stops_at_exit() { os_signals::stop(c); }
};

void exit_while_senders_are_told() {
  ::alarm(20);
  static const stops_at_exit e;
  os_signals::notify(e.c, {SIGWINCH, SIGUSR2});
  baton::run(
      [] {
        const flush all_handled;
        send(SIGWINCH);
        all_handled();  // the sender waits
        baton::event begun;
        for (int i = 0; i < 2; ++i) {
          baton::go([&begun] {
            begun.set();
            for (;;) {
              os_signals::ignore({SIGUSR2});
              baton::this_fiber::yield();
            }
          });
        }
        begun.wait();
        baton::this_fiber::sleep_for(3ms);
      },
      {.procs = 2});
  std::exit(0);
}

TEST_F(OsSignalDeathTest, AStaticDestructorMayStopIt) {
  for (int i = 0; i < 3; ++i) EXPECT_EXIT(exit_while_senders_are_told(), testing::ExitedWithCode(0), "");
}

TEST_F(OsSignalDeathTest, ANumberThatIsNoSignalIsRefused) {
  EXPECT_DEATH(os_signals::notify(channel<int>(), {99}), "os_signals: 99 is no signal");
}

TEST_F(OsSignalDeathTest, WaitingForASignalIsNoDeadlock) {
  EXPECT_EXIT(
      {
        static std::atomic<bool> notified{false};
        std::thread([] {
          while (!notified) ::usleep(1'000);
          ::usleep(300'000);  // longer than it takes to declare a deadlock
          ::kill(::getpid(), SIGUSR1);
        }).detach();
        std::_Exit(baton::run(
            [] {
              channel<int> c;
              os_signals::notify(c, {SIGUSR1});
              notified = true;
              return c.receive() == SIGUSR1 ? 0 : 1;
            },
            {.on_deadlock = baton::deadlock_action::abort}));
      },
      testing::ExitedWithCode(0), "");
}

// The signals that main blocks are blocked by every thread of the process.
void block(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int s : signals) ::sigaddset(&set, s);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool is_pending(int signal) {
  sigset_t set;
  ::sigpending(&set);
  return ::sigismember(&set, signal) == 1;
}

TEST_F(OsSignalDeathTest, OneThatTheProcessBlocksIsReceived) {
  EXPECT_EXIT(
      {
        ::alarm(20);
        block({SIGTERM, SIGUSR1});
        send(SIGTERM);
        std::_Exit(baton::run([] {
          channel<int> c(1);
          os_signals::notify(c, {SIGTERM});
          if (c.receive() != SIGTERM) return 1;  // it was pending
          for (int i = 0; i < 100; ++i) {
            send(SIGTERM);
            if (c.receive() != SIGTERM) return 2;
          }
          channel<int> other(1);
          os_signals::notify(other, {SIGUSR1});
          send(SIGUSR1);
          if (other.receive() != SIGUSR1) return 3;
          // no channel wants it any more, and it is blocked as before
          os_signals::stop(c);
          send(SIGTERM);
          if (!is_pending(SIGTERM)) return 4;
          send(SIGUSR1);
          if (other.receive() != SIGUSR1) return 5;
          if (!is_pending(SIGTERM)) return 6;
          os_signals::notify(c, {SIGTERM});
          return c.receive() == SIGTERM ? 0 : 7;
        }));
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(OsSignalDeathTest, OneFromAnotherProcessReachesAProcessWhoseMainThreadWaitsInRun) {
  EXPECT_EXIT(
      {
        ::alarm(20);
        const pid_t self = ::getpid();
        std::_Exit(baton::run([self] {
          channel<int> c(1);
          os_signals::notify(c, {SIGTERM});
          if (::fork() == 0) {
            ::kill(self, SIGTERM);
            ::_exit(0);
          }
          return c.receive() == SIGTERM ? 0 : 1;
        }));
      },
      testing::ExitedWithCode(0), "");
}

rlim_t open_descriptors() {
  rlim_t n = 0;
  for (int fd = 0; fd < 1024; ++fd) n += ::fcntl(fd, F_GETFD) != -1 ? 1 : 0;
  return n;
}

// Returns the error of notify() if only `more` descriptors can be had from the next one on, or 0 if it succeeds.
int notify_with(rlim_t more, const channel<int>& c) {
  struct rlimit former = {};
  ::getrlimit(RLIMIT_NOFILE, &former);
  // Traps: ThreadSanitizer does not know that the kernel gives a number again only once it is closed.
  const long next = ::syscall(SYS_fcntl, 0, F_DUPFD, 0);
  ::syscall(SYS_close, next);
  const struct rlimit now = {static_cast<rlim_t>(next) + more, former.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &now);
  int error = 0;
  try {
    os_signals::notify(c, {SIGUSR1});
  } catch (const std::system_error& e) {
    error = e.code().value();
  }
  ::setrlimit(RLIMIT_NOFILE, &former);
  return error;
}

[[noreturn]] void notify_without_descriptors() {
  ::alarm(20);
  baton::run([] {
    // Makes the runtime open the descriptors that it needs when it first waits for one.
    static_cast<void>(baton::net::tcp_listener::bind("127.0.0.1:0"));
    channel<int> c(1);
    const rlim_t before = open_descriptors();
    EXPECT_EQ(EMFILE, notify_with(0, c));
    EXPECT_EQ(before, open_descriptors());
    // There is none for the second listener. A listener that exists already stays; an additional one ends. (If it ends
    // so early that there is a descriptor for the second one, that is fine, too.)
    for (int i = 0; i < 3; ++i) {
      const int error = notify_with(1, c);
      EXPECT_TRUE(error == EMFILE || error == 0) << error;
      while (open_descriptors() > before + 2) baton::this_fiber::yield();
    }
    EXPECT_EQ(0, notify_with(100, c));
    while (open_descriptors() > before + 2) baton::this_fiber::yield();
    send(SIGUSR1);
    EXPECT_EQ(SIGUSR1, c.receive());
  });
  std::_Exit(testing::Test::HasFailure() ? 1 : 0);
}

TEST_F(OsSignal, WithoutDescriptorsNothingIsKeptAndNothingIsLost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(notify_without_descriptors(), testing::ExitedWithCode(0), "");
}

TEST_F(OsSignal, RaisedByAFiberAreReceived) {
  baton::run([] {
    channel<int> c(1);
    os_signals::notify(c, {SIGUSR1});
    for (int i = 0; i < 100; ++i) {
      std::raise(SIGUSR1);
      EXPECT_EQ(SIGUSR1, c.receive());
    }
    os_signals::stop(c);
  });
}

TEST_F(OsSignal, AnActionThatTheProgramSetsMeanwhileStays) {
  baton::run([] {
    channel<int> c(1);
    os_signals::notify(c, {SIGUSR2});
    const auto own = [](int) {};
    ::signal(SIGUSR2, own);
    os_signals::stop(c);
    EXPECT_EQ(static_cast<void (*)(int)>(own), handler_of(SIGUSR2));
    ::signal(SIGUSR2, SIG_DFL);
  });
}

}  // namespace
