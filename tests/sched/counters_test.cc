// Ps that have not run count nothing, and the counters that only grow never shrink.
#include "on_fiber.h"
#include "own_process.h"

#include <baton/sched/counters.h>
#include <baton/sched/limits.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;

class CountersDeathTest : public baton_test::own_process_test {};

// Threads that look for work, and find none, count as well.
constexpr std::uint64_t few = 10'000;

int counts_of_one_fiber(int procs) {
  baton_test::start_without_rescue(procs);
  const counters first = read_counters();
  if (first.switches >= few || first.spawned != 0) return 1;
  on_fiber([] {});
  const counters then = read_counters();
  if (then.spawned != 1) return 2;
  return then.switches >= 1 && then.switches < few ? 0 : 3;
}

TEST_F(CountersDeathTest, PsThatHaveNotRunCountNothing) {
  for (const int procs : {1, 2, 8, limits::procs_max}) {
    EXPECT_EXIT(std::_Exit(counts_of_one_fiber(procs)), testing::ExitedWithCode(0), "") << procs;
  }
}

TEST(Counters, SwitchesAndSpawnsOnlyGrow) {
  constexpr int fibers = 8;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> yields{0};
  std::vector<fiber*> all;
  for (int i = 0; i < fibers; ++i) {
    all.push_back(spawn_fiber([&] {
      while (!stop) {
        join(spawn_fiber([] {}));
        for (int k = 0; k < 10; ++k) yield();
        yields += 10;
      }
    }));
  }
  const counters first = read_counters();
  counters before = first;
  while (yields < 200'000) {
    const counters now = read_counters();
    EXPECT_GE(now.switches, before.switches);
    EXPECT_GE(now.spawned, before.spawned);
    before = now;
    if (HasFailure()) break;
  }
  stop = true;
  for (fiber* f : all) join(f);
  const counters last = read_counters();
  EXPECT_GT(last.switches, first.switches);
  EXPECT_GT(last.spawned, first.spawned);
  EXPECT_LT(last.switches, std::uint64_t{1} << 40);
}

}  // namespace
