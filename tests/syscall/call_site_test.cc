// What call sites learn, and what they tell of it.
#include "../sched/on_fiber.h"

#include <baton/sched/call_site.h>
#include <baton/sched/counters.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/calls.h>
#include <baton/syscall/enter_exit.h>

#include <gtest/gtest.h>

#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace baton::sched;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;
using baton_test::with_procs;

TEST(CallSite, LearnsFastThatACallBlocksAndSlowlyThatItDoesNot) {
  static call_site s("test");  // a site that has learnt something is remembered for good
  EXPECT_EQ(s.expect(), call_site::verdict::unknown);
  s.learn(false, true, nullptr);
  EXPECT_EQ(s.expect(), call_site::verdict::is_short);
  s.was_retaken();
  EXPECT_EQ(s.expect(), call_site::verdict::blocks);
  s.learn(true, true, nullptr);
  s.learn(false, true, nullptr);
  s.learn(false, true, nullptr);
  EXPECT_EQ(s.expect(), call_site::verdict::blocks) << "one that mostly blocks is not doubted after two short calls";
  for (int i = 0; i < 8; ++i) s.learn(false, true, nullptr);
  EXPECT_EQ(s.expect(), call_site::verdict::is_short);
}

TEST(CallSite, AnAddressHasOneSite) {
  std::set<call_site*> seen;
  for (std::uintptr_t a = 0x1000; a < 0x1000 + 64 * 16; a += 16) {
    call_site& s = call_site::at(reinterpret_cast<void*>(a));
    EXPECT_EQ(&s, &call_site::at(reinterpret_cast<void*>(a)));
    seen.insert(&s);
  }
  EXPECT_EQ(seen.size(), 64U);
}

// Two places, of which one blocks.
__attribute__((noinline)) void blocks_by_hand(const std::atomic<int>& turns) {
  const int before = turns;
  baton::enter_syscall();
  do ::usleep(1000);
  while (turns == before);  // until another fiber has had the P
  baton::exit_syscall();
}
__attribute__((noinline)) void does_not_by_hand() {
  baton::enter_syscall();
  static_cast<void>(::getppid());
  baton::exit_syscall();
}

TEST(CallSite, BareEnterSyscallLearnsByPlace) {
  const with_procs one(1);
  std::atomic<bool> done{false};
  std::atomic<int> turns{0};
  fiber* const other = spawn_fiber([&] {
    for (; !done; yield()) turns.fetch_add(1);
  });
  on_fiber([&] {
    std::uint64_t predicted = read_counters().handoffs_predicted;
    blocks_by_hand(turns);  // the monitor takes the P, and the site has learnt
    for (int i = 0; i < 5; ++i) {
      blocks_by_hand(turns);
      EXPECT_GT(read_counters().handoffs_predicted, predicted);
      predicted = read_counters().handoffs_predicted;
      for (int k = 0; k < 1000; ++k) does_not_by_hand();
      // Hardly ever rather than never: a call during which the kernel took the CPU away looks like a long one.
      EXPECT_LT(read_counters().handoffs_predicted, predicted + 500);
      predicted = read_counters().handoffs_predicted;
    }
  });
  done = true;
  join(other);
}

std::vector<call_site::history> sites_of_sleep() {
  std::vector<call_site::history> sleeps;
  call_site::for_each(
      [](const call_site::history& h, void* all) {
        if (h.system_call == SYS_nanosleep || h.system_call == SYS_clock_nanosleep) {
          static_cast<std::vector<call_site::history>*>(all)->push_back(h);
        }
      },
      &sleeps);
  return sleeps;
}

TEST(CallSite, TypedCallsAreSitesByNumber) {
  const with_procs one(1);
  std::atomic<bool> done{false};
  fiber* const other = spawn_fiber([&] {
    while (!done) yield();
  });
  on_fiber([] {
    // The sleep lasts until a point in time that is set before the P is handed over. If the handoff takes as long as
    // that, because the machine is busy, the call is short and counts as such. So repeat until the calls were long.
    std::vector<call_site::history> known;
    do {
      ASSERT_TRUE(baton::sys::nanosleep(std::chrono::milliseconds(2)));
      known = sites_of_sleep();
    } while (known.empty() || known[0].expected != call_site::verdict::blocks);
  });
  done = true;
  join(other);
  const std::vector<call_site::history> sleeps = sites_of_sleep();
  ASSERT_EQ(sleeps.size(), 1U);
  EXPECT_EQ(sleeps[0].expected, call_site::verdict::blocks);
  EXPECT_GE(sleeps[0].handed_over + sleeps[0].retaken, 1U);
  EXPECT_GE(sleeps[0].timed_long, 1U);
}

TEST(CallSiteDeathTest, AFiberThatEndsInsideACallIsTold) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(on_fiber([] { baton::enter_syscall(); }), "ends inside a declared call: exit_syscall is missing");
}

}  // namespace
