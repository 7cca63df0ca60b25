// Timers of a busy P. Other threads run the timers that the P does not get to, and the P never runs so many at once
// that its fibers wait for long.
#include "doorbell.h"
#include "on_fiber.h"
#include "own_process.h"

#include <baton/sched/limits.h>
#include <baton/sched/machine.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/timer.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::on_fiber;
using baton_test::with_procs;

// Records which thread has run a timer. 1: the monitor, or another thread without an M; 2: an M.
void note_who(void* arg, std::uint64_t, fiber_list&) noexcept {
  static_cast<std::atomic<int>*>(arg)->store(this_machine() == nullptr ? 1 : 2);
}

// The monitor would run the timer, too, but milliseconds later. It is first where no thread happens to look for work
// after the timer was set, and often on a busy machine.
TEST(BusyTimers, AnIdleThreadRunsThoseOfAFiberThatComputes) {
  const with_procs two(2);
  int by_an_m = 0;
  const std::int64_t give_up = platform::now_ns() + baton_test::for_ever_ns;
  while (by_an_m == 0 && platform::now_ns() < give_up) {
    std::atomic<int> who{0};
    on_fiber([&] {
      static_cast<void>(arm_timer(platform::now_ns() + 2'000'000, note_who, &who));
      while (who.load() == 0) {
      }
    });
    if (who.load() == 2) ++by_an_m;
  }
  EXPECT_GT(by_an_m, 0);
}

struct tally {
  std::atomic<std::int32_t> watched{0};  // the thread whose timers are counted
  std::atomic<int> by_it{0};
  std::atomic<int> all{0};
};

void count_fired(void* arg, std::uint64_t, fiber_list&) noexcept {
  auto* const t = static_cast<tally*>(arg);
  if (platform::thread_id() == t->watched.load()) t->by_it.fetch_add(1);
  t->all.fetch_add(1);
}

class BusyTimersDeathTest : public baton_test::own_process_test {};

// Between two turns of a fiber that yields, the fiber's thread runs at most one portion of timers, whatever the monitor
// does beside it.
TEST_F(BusyTimersDeathTest, VeryManyThatAreDueAtOnceComeInPortions) {
  EXPECT_EXIT(
      {
        baton_test::start_without_rescue(1);
        constexpr int many = 50'000;
        tally t;
        int most = 0;
        on_fiber([&] {
          const std::int64_t when = platform::now_ns() + 300'000'000;
          for (int i = 0; i < many; ++i) static_cast<void>(arm_timer(when, count_fired, &t));
          while (t.all.load() < many) {
            t.watched.store(platform::thread_id());
            const int before = t.by_it.load();
            yield();
            if (t.watched.load() == platform::thread_id()) most = std::max(most, t.by_it.load() - before);
          }
        });
        std::fprintf(stderr, "%d at most\n", most);
        std::_Exit(most <= limits::due_timers_at_once ? 0 : 1);
      },
      testing::ExitedWithCode(0), "at most");
}

// Timers that other threads cancel stay in the heap until it is swept in portions. The heap stays a heap meanwhile.
TEST(BusyTimers, VeryManyThatAreCancelledFromAfarNeverFire) {
  tally t;
  constexpr int many = 20'000;
  for (int round = 0; round < 3; ++round) {
    std::vector<timer_handle> timers;
    on_fiber([&] {
      const std::int64_t when = platform::now_ns() + 3'600'000'000'000;
      for (int i = 0; i < many; ++i) timers.push_back(arm_timer(when + i, count_fired, &t));
    });
    // A plain thread: it has no P of its own.
    for (std::size_t i = 0; i < timers.size(); ++i) {
      ASSERT_TRUE(cancel_timer(timers[(i * 7919) % timers.size()]));
    }
  }
  EXPECT_EQ(t.all.load(), 0);
  // A timer that is armed beside them comes in its order.
  std::atomic<int> who{0};
  on_fiber([&] {
    static_cast<void>(arm_timer(platform::now_ns() + 1'000'000, note_who, &who));
    sleep_until_ns(platform::now_ns() + 2'000'000);
  });
  EXPECT_NE(who.load(), 0);
}

}  // namespace
