// Ps beyond a lowered number of procs: other Ps take over what they had, and they come back whole.
#include "doorbell.h"
#include "on_fiber.h"
#include "own_process.h"

#include <baton/sched/platform/clock.h>
#include <baton/sched/timer.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::eventually;
using baton_test::for_ever_ns;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;

class RetiredProcsDeathTest : public baton_test::own_process_test {};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

// The fibers of the P that stays always find work, so its M never reaches the point where Ms without work look around.
TEST_F(RetiredProcsDeathTest, TheirTimersFireWhileTheOthersAreBusy) {
  EXPECT_EXIT(
      {
        baton_test::start_without_rescue(2);
        std::atomic<bool> stop{false};
        std::vector<std::atomic<int>> ticks(40);
        std::vector<fiber*> fibers;
        for (auto& t : ticks) {
          fibers.push_back(spawn_fiber([&stop, &t] {
            while (!stop.load()) {
              sleep_until_ns(platform::now_ns() + 5'000'000);
              t.fetch_add(1);
            }
          }));
        }
        for (int i = 0; i < 3; ++i) {
          fibers.push_back(spawn_fiber([&stop] {
            while (!stop.load()) yield();
          }));
        }
        const auto all_tick = [&ticks] {
          std::vector<int> before;
          for (const auto& t : ticks) before.push_back(t.load());
          return eventually([&] {
            for (std::size_t i = 0; i < ticks.size(); ++i) {
              if (ticks[i].load() < before[i] + 3) return false;
            }
            return true;
          });
        };
        for (int r = 0; r < 5; ++r) {
          set_procs(2);
          if (!all_tick()) fail("sleepers do not wake with two Ps");
          set_procs(1);
          if (!all_tick()) fail("sleepers do not wake after the second P was retired");
        }
        stop.store(true);
        for (fiber* f : fibers) join(f);
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// While the number changes, the monitor takes Ps from Ms that lose and get theirs all the time. Two fibers that wait
// for each other without giving up their P show that none was lost.
TEST_F(RetiredProcsDeathTest, NoneIsLostWhileTheNumberGoesUpAndDown) {
  EXPECT_EXIT(
      {
        baton_test::start_without_rescue(2);
        std::atomic<bool> stop{false};
        std::atomic<int> turns{0};
        std::vector<fiber*> fibers;
        for (int i = 0; i < 4; ++i) {
          fibers.push_back(spawn_fiber([&] {
            while (!stop.load()) {
              const std::int64_t until = platform::now_ns() + 700'000;
              while (platform::now_ns() < until) platform::cpu_relax();
              turns.fetch_add(1);
              sleep_until_ns(platform::now_ns() + 500'000);
            }
          }));
        }
        const auto some_turns = [&turns](int n) {
          const int before = turns.load();
          return eventually([&] { return turns.load() >= before + n; });
        };
        for (int i = 0; i < 100; ++i) {
          set_procs(1);
          if (!some_turns(6)) fail("nothing runs with one P");
          set_procs(2);
          if (!some_turns(3)) fail("nothing runs with two Ps");
        }
        stop.store(true);
        for (fiber* f : fibers) join(f);
        std::atomic<int> here{0};
        const auto meet = [&here] {
          const std::int64_t give_up = platform::now_ns() + for_ever_ns;
          here.fetch_add(1);
          while (here.load() < 2) {
            if (platform::now_ns() > give_up) fail("two fibers do not run at once any more");
          }
        };
        fiber* const a = spawn_fiber(meet);
        fiber* const b = spawn_fiber(meet);
        join(a);
        join(b);
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
