// What could go wrong around a call that is declared behind its caller's back: one test for each hazard.
#include "heartbeat.h"

#include <baton/baton.h>
#include <baton/sched/declared_call.h>
#include <baton/sched/platform/sanitizers.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

std::ptrdiff_t sites_of(const std::string& call) {
  const auto all = baton::call_sites();
  return std::count_if(all.begin(), all.end(),
                       [&](const auto& site) { return site.place.rfind(call + ", called in ", 0) == 0; });
}

class a_pipe {
 public:
  a_pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~a_pipe() {
    for (const int fd : ends_) ::close(fd);
  }
  a_pipe(const a_pipe&) = delete;
  a_pipe& operator=(const a_pipe&) = delete;
  [[nodiscard]] int in() const { return ends_[1]; }
  [[nodiscard]] int out() const { return ends_[0]; }
  void put() const { EXPECT_EQ(::write(in(), "b", 1), 1); }
  [[nodiscard]] bool get() const {
    char c = 0;
    return ::read(out(), &c, 1) == 1;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

TEST(Hazards, ErrnoIsThatOfTheCall) {
  baton::run([] {
    const a_pipe p;
    auto waits = baton::spawn([&] {
      for (int i = 0; i < 20; ++i) {
        errno = 42;
        EXPECT_TRUE(p.get());
        EXPECT_EQ(errno, 42) << "a call that succeeds, and has waited, leaves errno alone";
      }
    });
    for (int i = 0; i < 20; ++i) {
      baton::this_fiber::sleep_for(1ms);
      p.put();
    }
    waits.join();
    char c = 0;
    EXPECT_EQ(::read(-1, &c, 1), -1);
    EXPECT_EQ(errno, EBADF);
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    const timeval patience{0, 5'000};
    ASSERT_EQ(::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    for (int i = 0; i < 5; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      EXPECT_EQ(::recv(pair[0], &c, 1, 0), -1);
      EXPECT_EQ(errno, EAGAIN);
      EXPECT_GE(std::chrono::steady_clock::now() - begin, 4ms) << "a try without waiting is not the call";
    }
    ASSERT_EQ(::fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    EXPECT_EQ(::recv(pair[0], &c, 1, 0), -1);
    EXPECT_EQ(errno, EAGAIN);
    for (const int fd : pair) ::close(fd);
  });
}

thread_local int mine = 0;

[[gnu::noinline]] void set_mine(int value) { mine = value; }
[[gnu::noinline]] int get_mine() { return mine; }

TEST(Hazards, ThreadLocalsStayRight) {
  baton::run([] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 1; i <= 50; ++i) {
      fibers.push_back(baton::spawn([i] {
        const pid_t thread = ::gettid();
        set_mine(i);
        for (int k = 0; k < 10; ++k) {
          ::usleep(500);
          EXPECT_EQ(get_mine(), i);
          EXPECT_EQ(::gettid(), thread);
        }
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

TEST(Hazards, CallsWithinADeclaredCallAreLeftAlone) {
  baton::run([] {
    const auto before = sites_of("usleep");
    baton::blocking([] { ::usleep(2'000); });
    baton::pinned_blocking([] { ::usleep(2'000); });
    baton::enter_syscall();
    ::usleep(2'000);
    baton::exit_syscall();
    EXPECT_EQ(sites_of("usleep"), before);
  });
}

TEST(Hazards, PlainThreadsAreLeftAlone) {
  const auto before = sites_of("usleep");
  std::thread([] { ::usleep(2'000); }).join();
  EXPECT_EQ(sites_of("usleep"), before);
}

// The stack is unwound through the wrapper, and objects on it are destroyed.
TEST(Hazards, APlainThreadIsCancelledInACall) {
  static std::atomic<bool> unwound{false};
  struct on_stack {
    ~on_stack() { unwound = true; }
  };
  a_pipe p;
  static std::atomic<bool> begun{false};
  ::pthread_t thread{};
  const auto main = [](void* arg) -> void* {
    const on_stack object;
    begun = true;
    static_cast<void>(static_cast<a_pipe*>(arg)->get());
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, nullptr, main, &p), 0);
  while (!begun) ::sched_yield();
  ASSERT_EQ(::pthread_cancel(thread), 0);
  void* result = nullptr;
  ASSERT_EQ(::pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
  EXPECT_TRUE(unwound);
}

TEST(Hazards, TheChildOfAForkGoesOnWithItsCalls) {
  baton::run([] {
    const a_pipe there;
    const a_pipe back;
    const pid_t child = ::fork();
    if (child == 0) {
      const bool got = there.get();
      ::usleep(1'000);
      back.put();
      ::_exit(got ? 7 : 1);
    }
    there.put();
    EXPECT_TRUE(back.get());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 7);
  });
}

struct with_handler {
  with_handler(int number, void (*handler)(int)) : signal(number) {
    struct sigaction action {};
    action.sa_handler = handler;
    EXPECT_EQ(::sigaction(signal, &action, &before), 0);
  }
  ~with_handler() { ::sigaction(signal, &before, nullptr); }
  with_handler(const with_handler&) = delete;
  with_handler& operator=(const with_handler&) = delete;

  const int signal;
  struct sigaction before {};
};

// A handler may interrupt user code, a section of the runtime, a declared call, or the begin or end of one.
TEST(Hazards, HandlersCallWrappedFunctions) {
  static std::atomic<int> null{-1};
  static std::atomic<int> handled{0};
  null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  const with_handler action(SIGUSR1, [](int) {
    const int saved = errno;
    if (::write(null, "b", 1) == 1) ++handled;
    errno = saved;
  });
  std::atomic<pthread_t> thread{};
  std::atomic<bool> over{false};
  std::thread sender([&] {
    while (!over) {
      if (const pthread_t to = thread.exchange(pthread_t{})) ::pthread_kill(to, SIGUSR1);
    }
  });
  baton::run([&] {
    const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    auto other = baton::spawn([&] {
      while (!over) baton::this_fiber::yield();
    });
    char c = 0;
    while (handled < 60) {
      thread = ::pthread_self();
      EXPECT_EQ(::read(zero, &c, 1), 1);
      baton::this_fiber::yield();
    }
    over = true;
    other.join();
    ::close(zero);
    EXPECT_TRUE(baton::sched::foreign_call_counts()) << "still inside of a call";
  });
  sender.join();
  ::close(null);
}

// A library may leave its call by a jump out of a handler, as curl's resolver does.
::sigjmp_buf out;

void jump_out_of_a_call(const a_pipe& p, std::atomic<pthread_t>& thread) {
  if (sigsetjmp(out, 1) != 0) return;
  thread = ::pthread_self();
  static_cast<void>(p.get());
  ADD_FAILURE() << "nothing was written";
}

TEST(Hazards, AJumpOutOfACall) {
  if (BATON_TSAN != 0 || BATON_ASAN != 0) GTEST_SKIP() << "the sanitizers do not follow the jump";
  const with_handler action(SIGUSR1, [](int) { siglongjmp(out, 1); });
  for (const bool ends_at_once : {false, true}) {
    baton::run([&] {
      const a_pipe p;
      std::atomic<pthread_t> thread{};
      auto jumper = baton::spawn([&] {
        jump_out_of_a_call(p, thread);
        if (ends_at_once) return;
        ::usleep(1);
        EXPECT_TRUE(baton::sched::foreign_call_counts()) << "still inside of the call that was left";
        baton::this_fiber::sleep_for(1ms);
      });
      while (thread == pthread_t{}) baton::this_fiber::yield();
      baton::this_fiber::sleep_for(2ms);  // the call need not have begun: then the jump leaves user code
      ASSERT_EQ(::pthread_kill(thread, SIGUSR1), 0);
      jumper.join();
    });
  }
}

// exit() stops the fibers, one of them while it comes back from a call with a lock of its library's.
::pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
::pthread_cond_t library_condition = PTHREAD_COND_INITIALIZER;
bool library_ends = false;
bool library_ended = false;

void end_library() {
  ::pthread_mutex_lock(&library_lock);
  library_ends = true;
  ::pthread_cond_broadcast(&library_condition);
  while (!library_ended) ::pthread_cond_wait(&library_condition, &library_lock);
  ::pthread_mutex_unlock(&library_lock);
  std::_Exit(7);
}

[[noreturn]] void exit_while_a_fiber_waits() {
  ::alarm(30);
  std::atexit(end_library);
  baton::run([] {
    static std::atomic<bool> begun{false};
    baton::go([] {
      ::pthread_mutex_lock(&library_lock);
      begun = true;
      while (!library_ends) ::pthread_cond_wait(&library_condition, &library_lock);
      library_ended = true;
      ::pthread_cond_broadcast(&library_condition);
      ::pthread_mutex_unlock(&library_lock);
    });
    while (!begun) baton::this_fiber::sleep_for(1ms);
  });
  std::exit(3);
}

TEST(HazardsDeathTest, AFiberLeavesItsLibrarysLockAtExit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(exit_while_a_fiber_waits(), testing::ExitedWithCode(7), "");
}

// The same, where the fiber waits for a P when exit() is called, because others compute.
[[noreturn]] void exit_while_a_fiber_waits_for_a_p() {
  static a_pipe p;
  static std::atomic<bool> begun{false};
  static std::atomic<bool> computing{false};
  ::alarm(30);
  std::atexit(end_library);
  baton::set_procs(1);
  baton::run([] {
    baton::go([] {
      ::pthread_mutex_lock(&library_lock);
      begun = true;
      static_cast<void>(p.get());
      library_ended = true;
      ::pthread_cond_broadcast(&library_condition);
      ::pthread_mutex_unlock(&library_lock);
    });
    while (!begun) baton::this_fiber::sleep_for(1ms);
    baton::go([] {
      for (computing = true;;) asm volatile("");
    });
  });
  while (!computing) ::sched_yield();
  p.put();
  for (int left = 1; left != 0;) ::ioctl(p.out(), FIONREAD, &left);
  std::exit(3);
}

TEST(HazardsDeathTest, AFiberThatWaitsForAPLeavesItsLibrarysLockAtExit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(exit_while_a_fiber_waits_for_a_p(), testing::ExitedWithCode(7), "");
}

}  // namespace
