// "All fibers are asleep": what is reported, what happens to the process, and when there is no report.
#include <baton/netpoll/dial.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/runtime/barrier.h>
#include <baton/runtime/channel.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/timer.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

// If set, the monitor's next count of the threads waits until one of the existing threads has ended.
std::atomic<bool> one_ends_before_the_count{false};
std::atomic<bool> being_counted{false};

}  // namespace

// Replaces the C library's function by which the monitor counts the threads.
extern "C" int stat(const char* path, struct stat* s) noexcept {
  const auto really = [=] { return ::fstatat(AT_FDCWD, path, s, 0); };
  if (std::strcmp(path, "/proc/self/task") != 0 || !one_ends_before_the_count.exchange(false)) return really();
  if (really() != 0) return -1;
  const auto before = s->st_nlink;
  being_counted = true;
  being_counted.notify_all();
  int result = 0;
  do {
    result = really();
  } while (result == 0 && s->st_nlink >= before);
  return result;
}

namespace {

using namespace std::chrono_literals;
using baton::deadlock_action;

// Much longer than the runtime takes to declare a deadlock. If the runtime ever takes longer, a test that expects
// silence passes without proof; none fails.
constexpr auto long_enough = 700ms;

// Death tests run in a process of their own, which has no other thread.
class Deadlock : public testing::Test {
 protected:
  Deadlock() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void two_that_wait_for_each_other() {
  baton::channel<int> a;
  baton::mutex m;
  m.lock();
  baton::go({.name = "philosopher"}, [&m] { m.lock(); });
  baton::this_fiber::sleep_for(1ms);
  static_cast<void>(a.receive());
}

TEST_F(Deadlock, AbortReportsEveryFiberAndAborts) {
  EXPECT_EXIT(
      baton::run(two_that_wait_for_each_other, {.on_deadlock = deadlock_action::abort}),
      testing::KilledBySignal(SIGABRT),
      "deadlock: all fibers are asleep(.|\n)*\"main\" waits for channel receive(.|\n)*\"philosopher\" waits for "
      "mutex");
}

TEST_F(Deadlock, NamesWhoHoldsAMutex) {
#if BATON_MUTEX_OWNER
  EXPECT_EXIT(baton::run(two_that_wait_for_each_other, {.on_deadlock = deadlock_action::exit_2}),
              testing::ExitedWithCode(2),
              "\"philosopher\" waits for mutex that fiber [0-9]+ \"main\" holds, spawned by");
#else
  GTEST_SKIP() << "compiled without";
#endif
}

// A mutex that was handed over locked has the name of the fiber that locked it. When it is unlocked, it has no name.
void one_that_locks_twice() {
  baton::mutex m;
  m.lock();
  baton::spawn([&m] { m.unlock(); }).join();
  m.lock();
  m.lock();
}

TEST_F(Deadlock, NamesWhoLocksTwice) {
#if BATON_MUTEX_OWNER
  EXPECT_EXIT(baton::run(one_that_locks_twice, {.on_deadlock = deadlock_action::exit_2}), testing::ExitedWithCode(2),
              "a cycle: fiber [0-9]+ \"main\" waits for a mutex that it holds itself\n(.|\n)*"
              "\"main\" waits for mutex that it holds itself,");
#else
  GTEST_SKIP() << "compiled without";
#endif
}

// Each locks its own mutex, and then the one of the next.
void a_ring_of(int n) {
  std::vector<baton::mutex> mutexes(static_cast<std::size_t>(n));
  baton::barrier all_hold_one(n);
  std::vector<baton::fiber<void>> ring;
  for (int i = 0; i < n; ++i) {
    ring.push_back(baton::spawn({.name = "ring " + std::to_string(i)}, [&, i] {
      const std::lock_guard mine(mutexes[static_cast<std::size_t>(i)]);
      all_hold_one.arrive_and_wait();
      const std::lock_guard next(mutexes[static_cast<std::size_t>((i + 1) % n)]);
    }));
  }
  for (auto& f : ring) f.join();
}

TEST_F(Deadlock, NamesTheCycleOfOwners) {
#if BATON_MUTEX_OWNER
  EXPECT_EXIT(baton::run([] { a_ring_of(2); }, {.on_deadlock = deadlock_action::exit_2}), testing::ExitedWithCode(2),
              "baton: a cycle: fiber [0-9]+ \"ring 0\" waits for a mutex that fiber [0-9]+ \"ring 1\" holds, which "
              "waits for a mutex that fiber [0-9]+ \"ring 0\" holds\n");
#else
  GTEST_SKIP() << "compiled without";
#endif
}

TEST_F(Deadlock, CutsALongCycleAndCountsIt) {
#if BATON_MUTEX_OWNER
  EXPECT_EXIT(baton::run([] { a_ring_of(100); }, {.on_deadlock = deadlock_action::exit_2}), testing::ExitedWithCode(2),
              "\"ring 0\" waits for a mutex that .* \"ring 6\" holds, and so on: 100 fibers, until one that waits for "
              "the first\n");
#else
  GTEST_SKIP() << "compiled without";
#endif
}

// The fiber that holds a mutex waits for the end of one that wants it.
void one_that_joins_with_its_mutex() {
  baton::mutex m;
  const std::lock_guard hold(m);
  baton::spawn({.name = "joined"}, [&m] { const std::lock_guard late(m); }).join();
}

TEST_F(Deadlock, AJoinBelongsToTheCycle) {
#if BATON_MUTEX_OWNER
  EXPECT_EXIT(baton::run(one_that_joins_with_its_mutex, {.on_deadlock = deadlock_action::exit_2}),
              testing::ExitedWithCode(2),
              "a cycle: fiber [0-9]+ \"main\" joins fiber [0-9]+ \"joined\", which waits for a mutex that fiber "
              "[0-9]+ \"main\" holds\n");
#else
  GTEST_SKIP() << "compiled without";
#endif
}

void two_that_join_each_other() {
  baton::fiber<void> first;
  baton::fiber<void> second;
  baton::event both_there;
  first = baton::spawn({.name = "first"}, [&] { both_there.wait(), second.join(); });
  second = baton::spawn({.name = "second"}, [&] { both_there.wait(), first.join(); });
  both_there.set();
  baton::event().wait();
}

TEST_F(Deadlock, TwoThatJoinEachOtherAreACycle) {
  EXPECT_EXIT(baton::run(two_that_join_each_other, {.on_deadlock = deadlock_action::exit_2}),
              testing::ExitedWithCode(2),
              "a cycle: fiber [0-9]+ \"(first|second)\" joins fiber [0-9]+ \"(first|second)\", which joins fiber "
              "[0-9]+ \"(first|second)\"\n");
}

// "philosopher" waits for "main", and "main" for a channel: neither waits for itself.
TEST_F(Deadlock, AChainIsNoCycle) {
  EXPECT_EXIT(baton::run(two_that_wait_for_each_other, {.on_deadlock = deadlock_action::exit_2}),
              testing::ExitedWithCode(2), "nothing can wake them\n(baton: )?fiber ");
}

TEST_F(Deadlock, Exit2ExitsSo) {
  EXPECT_EXIT(baton::run(two_that_wait_for_each_other, {.on_deadlock = deadlock_action::exit_2}),
              testing::ExitedWithCode(2), "deadlock: all fibers are asleep");
}

// As the runtime's own default: it reports once, and sleeps on.
[[noreturn]] void watch_a_reporting_process() {
  int ends[2];
  if (::pipe(ends) != 0) std::_Exit(3);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    std::_Exit(baton::run(two_that_wait_for_each_other));
  }
  ::close(ends[1]);
  std::string said;
  char text[512];
  while (said.find("waits for mutex") == std::string::npos) {
    const ssize_t n = ::read(ends[0], text, sizeof text);
    if (n <= 0) std::_Exit(4);
    said.append(text, static_cast<std::size_t>(n));
  }
  const bool reported = said.find("deadlock: all fibers are asleep") != std::string::npos;
  int status = 0;
  const bool lives = ::waitpid(child, &status, WNOHANG) == 0;
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  std::_Exit(reported && lives ? 0 : 5);
}

TEST_F(Deadlock, ReportSaysSoAndTheProcessGoesOn) {
  if (BATON_TSAN) GTEST_SKIP() << "the child of a fork lacks ThreadSanitizer's own thread, which is reckoned with";
  EXPECT_EXIT(watch_a_reporting_process(), testing::ExitedWithCode(0), "");
}

TEST_F(Deadlock, WhatHasEndedIsNoReasonForSilence) {
  EXPECT_EXIT(baton::run(
                  [] {
                    auto unjoined = baton::spawn([] { return 1; });
                    baton::timer stopped = baton::after_func(1h, [] {});
                    static_cast<void>(stopped.stop());
                    std::thread([] {}).join();
                    baton::blocking([] { ::usleep(1000); });
                    static_cast<void>(baton::after(1ms).receive());
                    baton::event().wait();
                  },
                  {.on_deadlock = deadlock_action::exit_2}),
              testing::ExitedWithCode(2), "\"main\" waits for event");
}

TEST_F(Deadlock, ASecondRunMayDeadlock) {
  EXPECT_EXIT(
      {
        baton::run([] { baton::go([] { baton::event().wait(); }); }, {.on_deadlock = deadlock_action::exit_2});
        baton::run([] { baton::this_fiber::yield(); });
        baton::run([] { baton::event().wait(); });
      },
      testing::ExitedWithCode(2), "\"main\" waits for event");
}

// ---- an agent may still wake them: there is no report ----

#define EXPECT_SILENCE(...)                                                                 \
  EXPECT_EXIT(std::_Exit(baton::run(__VA_ARGS__, {.on_deadlock = deadlock_action::abort})), \
              testing::ExitedWithCode(0), "^$")

TEST_F(Deadlock, ASleeperIsNone) {
  EXPECT_SILENCE([] { baton::this_fiber::sleep_for(long_enough); });
}

TEST_F(Deadlock, ATimerMayWakeSomebody) {
  EXPECT_SILENCE([] {
    baton::event done;
    const baton::timer t = baton::after_func(long_enough, [&] { done.set(); });
    done.wait();
  });
}

// The monitor checks the timers and then counts the threads. In between a thread arms a timer and ends. That timer
// wakes nothing before its time if an earlier one, which was stopped from another P, is still in the heap.
TEST_F(Deadlock, ATimerOfAThreadThatHasEndedMayWakeSomebody) {
  EXPECT_SILENCE([] {
    static_cast<void>(baton::after(1ms).receive());
    std::optional<baton::timer> late;
    std::atomic<bool> made{false};
    std::thread([&] {
      late.emplace(long_enough);
      static_cast<void>(late->stop());
      made = true;
      made.notify_all();
      being_counted.wait(false);
      static_cast<void>(late->reset(2 * long_enough));
    }).detach();
    baton::blocking([&] { made.wait(false); });
    one_ends_before_the_count = true;
    static_cast<void>(late->fired().receive());
  });
}

TEST_F(Deadlock, ABlockingCallMayEnd) {
  EXPECT_SILENCE([] {
    baton::event done;
    baton::go([&] {
      baton::blocking([] { std::this_thread::sleep_for(long_enough); });
      done.set();
    });
    done.wait();
  });
}

TEST_F(Deadlock, AnUndeclaredCallMayEnd) {
  EXPECT_SILENCE([] {
    baton::event done;
    baton::go([&] {
      std::this_thread::sleep_for(long_enough);
      done.set();
    });
    done.wait();
  });
}

TEST_F(Deadlock, AThreadThatWaitsInTheRuntimeMayGoOn) {
  EXPECT_SILENCE([] {
    baton::event done;
    baton::event never;
    std::thread other([&] {
      static_cast<void>(never.wait_for(long_enough));
      done.set();
    });
    done.wait();
    other.join();
  });
}

TEST_F(Deadlock, AThreadThatNeverUsedTheRuntimeMayBeginTo) {
  EXPECT_SILENCE([] {
    baton::event done;
    std::thread other([&] {
      std::this_thread::sleep_for(long_enough);
      done.set();
    });
    done.wait();
    other.join();
  });
}

int alarm_writes_to = -1;

void ring_after(std::chrono::milliseconds delay) {
  itimerval when{};
  when.it_value.tv_sec = delay.count() / 1000;
  when.it_value.tv_usec = delay.count() % 1000 * 1000;
  ::setitimer(ITIMER_REAL, &when, nullptr);
}

TEST_F(Deadlock, AReaderOfASocketMayGetSomething) {
  EXPECT_SILENCE([] {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0").value();
    auto near = baton::net::dial(listener.local_address().to_string()).value();
    auto far = listener.accept().value();
    alarm_writes_to = ::dup(far.native_handle());  // a duplicate of its own: it stays open while the handler writes
    ::signal(SIGALRM, [](int) { static_cast<void>(!::write(alarm_writes_to, "x", 1)); });
    ring_after(long_enough);
    char byte = 0;
    return near.read({reinterpret_cast<std::byte*>(&byte), 1}).value() == 1 ? 0 : 1;
  });
}

TEST_F(Deadlock, ASignalMayCome) {
  if (BATON_TSAN) GTEST_SKIP() << "ThreadSanitizer holds signals back while the thread sleeps on a futex";
  EXPECT_SILENCE([] {
    const baton::channel<int> c;
    baton::os_signals::notify(c, {SIGALRM});
    ring_after(long_enough);
    return c.receive() == SIGALRM ? 0 : 1;
  });
}

TEST_F(Deadlock, OutsideRunAThreadDoesAsItLikes) {
  EXPECT_EXIT(
      {
        baton::event done;
        baton::run([&] { baton::go([&] { done.wait(), std::_Exit(0); }); }, {.on_deadlock = deadlock_action::abort});
        std::this_thread::sleep_for(long_enough);
        done.set();
        for (;;) ::pause();
      },
      testing::ExitedWithCode(0), "^$");
}

}  // namespace
