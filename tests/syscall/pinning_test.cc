// Fibers that stay on their thread: for one call (pinned_blocking) or for good (lock_os_thread).
#include "../sched/on_fiber.h"

#include <baton/sched/counters.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread.h>
#include <baton/syscall/pinning.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::flag;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;
using baton_test::with_procs;

std::int32_t here() { return platform::thread_id(); }

// Stands for what a vendor's library keeps per thread.
thread_local int last_error = 0;
__attribute__((noinline)) void set_last_error(int e) { last_error = e; }
__attribute__((noinline)) int get_last_error() {
  asm volatile("" ::: "memory");
  return last_error;
}

TEST(PinnedBlocking, ThreadLocalsAndErrnoAreStillRightAfterwards) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    std::vector<fiber*> fibers;
    std::atomic<int> running{50};
    for (int i = 0; i < 50; ++i) {
      fibers.push_back(spawn_fiber([&, i] {
        for (int k = 0; k < 20; ++k) {
          const int mine = i * 1000 + k;
          const auto before = here();
          const int result = baton::pinned_blocking([&] {
            ::usleep(static_cast<useconds_t>((i + k) % 3 * 50));
            set_last_error(mine);
            errno = mine % 100 + 1;
            return mine;
          });
          const int error = errno;
          EXPECT_EQ(error, mine % 100 + 1);
          EXPECT_EQ(get_last_error(), mine);
          EXPECT_EQ(here(), before);
          EXPECT_EQ(result, mine);
          yield();
        }
        running.fetch_sub(1);
      }));
    }
    fibers.push_back(spawn_fiber([&] {  // another fiber always wants the P
      while (running.load() > 0) yield();
    }));
    for (fiber* f : fibers) join(f);
  }
}

TEST(PinnedBlocking, OthersRunMeanwhileAndExceptionsPass) {
  const with_procs one(1);
  on_fiber([] {
    std::atomic<bool> ran{false};
    fiber* const other = spawn_fiber([&] { ran = true; });
    baton::pinned_blocking(
        [&] {
          while (!ran) ::usleep(100);
        },
        baton::will_block);
    join(other);
    EXPECT_THROW(baton::pinned_blocking([]() -> int { throw std::runtime_error("inside"); }), std::runtime_error);
    const auto thread = here();
    baton::pinned_blocking([&] { baton::pinned_blocking([&] { EXPECT_EQ(here(), thread); }); });
    yield();  // the depth is balanced
  });
}

TEST(PinnedBlocking, IsACallOffFibers) {
  EXPECT_EQ(baton::pinned_blocking([] { return 7; }), 7);
  baton::lock_os_thread();
  baton::unlock_os_thread();
}

TEST(LockOsThread, TheFiberStaysWhateverItWaitsFor) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    std::vector<fiber*> fibers;
    for (int i = 0; i < 20; ++i) {
      fibers.push_back(spawn_fiber([i] {
        baton::lock_os_thread();
        const auto mine = here();
        for (int k = 0; k < 30; ++k) {
          switch ((i + k) % 6) {
            case 0: yield(); break;
            case 1: sleep_until_ns(platform::now_ns() + 20'000); break;
            case 2: {
              flag f;
              fiber* const child = spawn_fiber([&] {
                EXPECT_NE(here(), mine);  // no other fiber runs on a locked fiber's thread
                f.set();
              });
              f.wait();
              join(child);
              break;
            }
            case 3: baton::blocking([] { ::usleep(30); }); break;
            case 4: baton::blocking([] {}, baton::will_block); break;
            default: yield_if_due(); break;
          }
          ASSERT_EQ(here(), mine);
        }
        baton::unlock_os_thread();
      }));
      fibers.push_back(spawn_fiber([] {
        for (int k = 0; k < 100; ++k) yield();
      }));
    }
    for (fiber* f : fibers) join(f);
  }
}

TEST(LockOsThread, Nests) {
  const with_procs one(1);
  on_fiber([] {
    baton::lock_os_thread();
    baton::lock_os_thread();
    baton::unlock_os_thread();
    const auto mine = here();
    fiber* const other = spawn_fiber([&] { EXPECT_NE(here(), mine); });
    join(other);
    EXPECT_EQ(here(), mine);
    baton::unlock_os_thread();
  });
}

TEST(LockOsThreadDeathTest, UnlockWithoutLockAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(on_fiber([] { baton::unlock_os_thread(); }), "unlock_os_thread without lock_os_thread");
}

// The thread of a fiber that ends while locked is gone, so what the fiber did to it harms no other fiber.
TEST(LockOsThread, EndingWhileLockedEndsTheThread) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    for (int round = 0; round < 20; ++round) {
      std::atomic<std::int32_t> thread{0};
      fiber* const f = spawn_fiber([&] {
        baton::lock_os_thread();
        thread = here();
        if (round % 2 == 0) yield();
      });
      join(f);
      // The thread ends by itself. Nothing that a fiber can wait for tells when.
      const std::string path = "/proc/self/task/" + std::to_string(thread.load());
      while (::access(path.c_str(), F_OK) == 0) std::this_thread::yield();
      on_fiber([&] { EXPECT_NE(here(), thread.load()); });
    }
  }
}

// thread_local destructors run when such a thread ends. The runtime's calls work there as on any thread.
TEST(LockOsThread, DestructorsOfThreadLocalsMayUseTheRuntime) {
  static std::atomic<int> destroyed{0};
  struct on_exit {
    ~on_exit() {
      fiber* const f = spawn_fiber([] { yield(); });
      join(f);
      baton::blocking([] { ::usleep(10); });
      destroyed.fetch_add(1);
    }
    void touch() {}
  };
  for (const int n : {1, 2}) {
    const with_procs set(n);
    const int before = destroyed.load();
    fiber* const f = spawn_fiber([] {
      static thread_local on_exit guard;
      guard.touch();
      baton::lock_os_thread();
    });
    join(f);
    while (destroyed.load() == before) std::this_thread::yield();
  }
}

TEST(LockOsThread, LockedFibersTakeTurnsWithOthersThroughAFlag) {
  for (const int n : {1, 2, 8}) {
    const with_procs set(n);
    std::atomic<int> rounds{0};
    std::vector<flag> there(200);
    std::vector<flag> back(200);
    fiber* const locked = spawn_fiber([&] {
      baton::lock_os_thread();
      const auto mine = here();
      for (std::size_t i = 0; i < there.size(); ++i) {
        there[i].wait();
        ASSERT_EQ(here(), mine);
        back[i].set();
      }
    });
    fiber* const other = spawn_fiber([&] {
      for (std::size_t i = 0; i < there.size(); ++i) {
        there[i].set();
        back[i].wait();
        rounds.fetch_add(1);
      }
    });
    join(locked);
    join(other);
    EXPECT_EQ(rounds.load(), 200);
  }
}

// Everything at once, while the number of Ps changes: nothing is lost, and no fiber is moved.
TEST(LockOsThread, MixedStressWithChangingProcs) {
  constexpr int rounds = 2100;  // 100,800 operations
  const with_procs set(2);
  std::atomic<int> left{48};
  std::vector<fiber*> fibers;
  for (unsigned i = 0; i < 48; ++i) {
    fibers.push_back(spawn_fiber([&, i] {
      std::minstd_rand random(i + 1);
      unsigned locks = 0;
      std::int32_t mine = 0;
      for (int k = 0; k < rounds; ++k) {
        switch (random() % 11) {
          case 0:
            if (locks < 3) {
              baton::lock_os_thread();
              if (locks++ == 0) mine = here();
            }
            break;
          case 1:
            if (locks > 0) {
              baton::unlock_os_thread();
              --locks;
            }
            break;
          case 2: yield(); break;
          case 3: sleep_until_ns(platform::now_ns() + static_cast<std::int64_t>(random() % 5000)); break;
          case 4: baton::blocking([&] { ::usleep(static_cast<useconds_t>(random() % 40)); }); break;
          case 5: {
            const auto before = here();
            baton::pinned_blocking([&] { ::usleep(static_cast<useconds_t>(random() % 40)); });
            EXPECT_EQ(here(), before);
            break;
          }
          case 6: {
            flag f;
            fiber* const child = spawn_fiber([&] { f.set(); });
            f.wait();
            join(child);
            break;
          }
          case 7: {
            flag f;
            std::thread foreign([&] { f.set(); });
            f.wait();
            baton::blocking([&] { foreign.join(); });
            break;
          }
          case 8: baton::pinned_blocking([] { ::usleep(5); }, baton::will_block); break;
          case 9: ::usleep(static_cast<useconds_t>(random() % 20)); break;  // undeclared
          default: yield_if_due(); break;
        }
        if (locks > 0) {
          EXPECT_EQ(here(), mine);
        }
      }
      // Some end while locked.
      if (i % 4 != 0) {
        while (locks-- > 0) baton::unlock_os_thread();
      }
      left.fetch_sub(1);
    }));
  }
  for (int n = 1; left.load() > 0; n = n % 8 + 1) {
    set_procs(n);
    for (int i = 0; i < 100; ++i) std::this_thread::yield();  // some microseconds
  }
  for (fiber* f : fibers) join(f);
}

}  // namespace
