// Declared calls: while one blocks its thread, the P runs the other fibers; afterwards the fiber goes on. The blocking
// is real (a read from an empty pipe). A fiber that can run only if the P was handed over ends it, so these tests hang
// if the handoff fails.
#include "../sched/on_fiber.h"

#include <baton/sched/counters.h>
#include <baton/sched/platform/clock.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/enter_exit.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::flag;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;
using baton_test::with_procs;

class pipe_pair {
 public:
  pipe_pair() {
    if (::pipe(fds_) != 0) throw std::runtime_error("pipe");
  }
  ~pipe_pair() {
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  pipe_pair(const pipe_pair&) = delete;
  pipe_pair& operator=(const pipe_pair&) = delete;
  void put() { ASSERT_EQ(::write(fds_[1], "x", 1), 1); }
  // Blocks the thread.
  void get() {
    char c = 0;
    ASSERT_EQ(::read(fds_[0], &c, 1), 1);
  }

 private:
  int fds_[2];
};

TEST(EnterSyscall, TheMonitorTakesThePOfABlockedCall) {
  const with_procs one(1);
  const std::uint64_t before = read_counters().retakes;
  on_fiber([] {
    pipe_pair p;
    fiber* const other = spawn_fiber([&] { p.put(); });
    baton::enter_syscall();
    p.get();
    baton::exit_syscall();
    join(other);
  });
  EXPECT_GT(read_counters().retakes, before);
}

TEST(EnterSyscall, NestsInTheFiber) {
  const with_procs one(1);
  on_fiber([] {
    pipe_pair p;
    fiber* const other = spawn_fiber([&] { p.put(); });
    {
      const baton::syscall_scope outer;
      { const baton::syscall_scope inner; }
      p.get();  // still declared
    }
    join(other);
  });
}

TEST(EnterSyscall, DoesNothingOnAPlainThread) {
  baton::enter_syscall();
  baton::exit_syscall();
  EXPECT_EQ(baton::blocking([] { return 5; }), 5);
}

TEST(EnterSyscallDeathTest, ExitWithoutEnterAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(on_fiber([] {
                 set_current_fiber_name("unbalanced");
                 baton::exit_syscall();
               }),
               "fiber [0-9]+ \"unbalanced\": exit_syscall without enter_syscall");
}

// Inside, the thread counts as a plain thread: a call that waits puts the thread to sleep, and the fiber is still on it
// afterwards.
TEST(EnterSyscall, WaitingInsideKeepsTheThread) {
  const with_procs one(1);
  on_fiber([] {
    for (int i = 0; i < 50; ++i) {
      flag f;
      fiber* const other = spawn_fiber([&] { f.set(); });
      baton::enter_syscall();
      const auto before = std::this_thread::get_id();
      f.wait();
      sleep_until_ns(platform::now_ns() + 1000);
      EXPECT_EQ(std::this_thread::get_id(), before);
      baton::exit_syscall();
      join(other);
    }
  });
}

TEST(EnterSyscall, SpawningAndReadyingInsideWork) {
  on_fiber([] {
    std::atomic<int> ran{0};
    baton::enter_syscall();
    std::vector<fiber*> fibers;
    for (int i = 0; i < 100; ++i) fibers.push_back(spawn_fiber([&] { ran.fetch_add(1); }));
    baton::exit_syscall();
    for (fiber* f : fibers) join(f);
    EXPECT_EQ(ran.load(), 100);
  });
}

TEST(Blocking, HandsThePOverAtEntryWhenWorkWaits) {
  const with_procs one(1);
  const counters before = read_counters();
  on_fiber([] {
    pipe_pair p;
    fiber* const other = spawn_fiber([&] { p.put(); });
    baton::blocking([&] { p.get(); });
    join(other);
  });
  const counters after = read_counters();
  EXPECT_EQ(after.handoffs_unknown + after.handoffs_predicted, before.handoffs_unknown + before.handoffs_predicted + 1);
}

TEST(Blocking, AHintHandsOverWithoutLearning) {
  const with_procs one(1);
  const counters before = read_counters();
  on_fiber([] {
    for (int i = 0; i < 3; ++i) {
      pipe_pair p;
      fiber* const other = spawn_fiber([&] { p.put(); });
      baton::blocking([&] { p.get(); }, baton::will_block);
      join(other);
    }
  });
  EXPECT_EQ(read_counters().handoffs_hinted, before.handoffs_hinted + 3);
}

TEST(Blocking, AShortSiteLearnsToKeepItsP) {
  const with_procs one(1);
  const auto handoffs = [] {
    const counters c = read_counters();
    return c.handoffs_unknown + c.handoffs_predicted;
  };
  on_fiber([&] {
    std::atomic<bool> stop{false};
    fiber* const other = spawn_fiber([&] {
      while (!stop.load()) yield();
    });
    std::uint64_t first = handoffs();
    // One in 64 calls is timed, and descheduling sometimes makes a short call long.
    for (int i = 0; i < 20'000; ++i) {
      baton::blocking([] {});
      if (i == 10'000) first = handoffs();
    }
    EXPECT_LT(handoffs() - first, 5'000U);
    stop.store(true);
    join(other);
  });
}

TEST(Blocking, AShortSiteThatBlocksIsCaughtByTheMonitorAndLearnt) {
  const with_procs one(1);
  on_fiber([] {
    pipe_pair p;
    const auto call = [&](bool blocks) {
      baton::blocking([&] {
        if (!blocks) return;
        p.get();
        ::usleep(100);  // long, however soon the other fiber came
      });
    };
    for (int i = 0; i < 200; ++i) call(false);
    for (int i = 0; i < 4; ++i) {
      fiber* const other = spawn_fiber([&] { p.put(); });
      call(true);
      join(other);
    }
    const std::uint64_t predicted = read_counters().handoffs_predicted;
    fiber* const other = spawn_fiber([&] { p.put(); });
    call(true);
    join(other);
    EXPECT_GT(read_counters().handoffs_predicted, predicted) << "four long calls in a row have taught nothing";
  });
}

TEST(Blocking, ReturnsWhatTheCallReturnsAndPassesExceptions) {
  on_fiber([] {
    int x = 3;
    EXPECT_EQ(&baton::blocking([&]() -> int& { return x; }), &x);
    EXPECT_EQ(baton::blocking([] { return std::string("text"); }), "text");
    EXPECT_THROW(baton::blocking([]() -> int { throw std::runtime_error("inside"); }), std::runtime_error);
    const auto [result, error] = baton::blocking_errno([] { return ::close(-1); });
    EXPECT_EQ(result, -1);
    EXPECT_EQ(error, EBADF);
    yield();  // the depth is balanced after the exception
  });
}

// Repeated, because the failure needs a P with work that is put on the idle list below one without, for want of an M.
TEST(Blocking, ManyBlockedCallsAtOnceAllComeBack) {
  for (const int n : {1, 2, 2, 2, 8, 8, 3, 3, 2, 2, 2}) {
    const with_procs set(n);
    constexpr std::size_t calls = 100;
    std::vector<pipe_pair> pipes(calls);
    std::atomic<int> back{0};
    std::vector<fiber*> fibers;
    for (std::size_t i = 0; i < calls; ++i) {
      fibers.push_back(spawn_fiber([&, i] {
        baton::blocking([&] { pipes[i].get(); });
        back.fetch_add(1);
      }));
    }
    fibers.push_back(spawn_fiber([&] {
      for (auto& p : pipes) p.put();
    }));
    for (fiber* f : fibers) join(f);
    EXPECT_EQ(back.load(), static_cast<int>(calls));
  }
}

// Random declared calls, parks and yields on several numbers of Ps: nothing is lost, nothing hangs.
TEST(Blocking, MixedWithParkingUnderStress) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    std::vector<fiber*> fibers;
    std::atomic<std::uint64_t> done{0};
    for (unsigned i = 0; i < 64; ++i) {
      fibers.push_back(spawn_fiber([&, i] {
        std::uint32_t r = i * 2654435761U + 1;
        for (int k = 0; k < 300; ++k) {
          r = r * 1664525U + 1013904223U;
          switch (r >> 29) {
            case 0: baton::blocking([&] { ::usleep(r >> 27 & 31); }); break;
            case 1: baton::blocking([] {}); break;
            case 2: yield(); break;
            case 3: sleep_until_ns(platform::now_ns() + (r >> 20 & 4095)); break;
            case 4: {
              flag f;
              fiber* const child = spawn_fiber([&] { f.set(); });
              f.wait();
              join(child);
              break;
            }
            case 5: {
              baton::enter_syscall();
              flag f;
              fiber* const child = spawn_fiber([&] { f.set(); });
              f.wait();
              baton::exit_syscall();
              join(child);
              break;
            }
            case 6: baton::blocking([&] { ::usleep(5); }, baton::will_block); break;
            default: yield_if_due(); break;
          }
          done.fetch_add(1);
        }
      }));
    }
    for (fiber* f : fibers) join(f);
    EXPECT_EQ(done.load(), 64U * 300U);
  }
}

}  // namespace
