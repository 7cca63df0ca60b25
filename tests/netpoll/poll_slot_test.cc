#include <baton/netpoll/poll_slot.h>
#include <baton/sched/park.h>

#include <gtest/gtest.h>
#include <atomic>
#include <thread>

namespace baton::net {
namespace {

using armed = poll_slot::armed;

TEST(PollSlot, BeginsReadySoThatTheFirstUseTriesTheCall) {
  poll_slot s;
  EXPECT_TRUE(s.is_ready());
  EXPECT_TRUE(s.clear());
  EXPECT_TRUE(s.is_nil());
  EXPECT_FALSE(s.clear());
}

TEST(PollSlot, ArmUsesUpAnEdge) {
  poll_slot s;
  sched::agent* const self = sched::current_agent();
  EXPECT_EQ(s.arm(self), armed::was_ready);
  EXPECT_TRUE(s.is_nil());
}

TEST(PollSlot, PostTakesTheStrandOutOnce) {
  poll_slot s;
  s.clear();
  sched::agent* const self = sched::current_agent();
  ASSERT_EQ(s.arm(self), armed::waiting);
  EXPECT_TRUE(s.has_waiter());
  EXPECT_EQ(s.arm(self), armed::busy);
  EXPECT_EQ(s.post(), self);
  EXPECT_EQ(s.post(), nullptr);
  EXPECT_FALSE(s.withdraw(self));
  EXPECT_TRUE(s.is_ready());
}

TEST(PollSlot, EvictTakesTheStrandAndLeavesReadinessAlone) {
  poll_slot s;
  EXPECT_EQ(s.evict(), nullptr);
  EXPECT_TRUE(s.is_ready());
  s.clear();
  EXPECT_EQ(s.evict(), nullptr);
  EXPECT_TRUE(s.is_nil());
  sched::agent* const self = sched::current_agent();
  ASSERT_EQ(s.arm(self), armed::waiting);
  EXPECT_EQ(s.evict(), self);
  EXPECT_TRUE(s.is_nil());
}

TEST(PollSlot, WithdrawTakesItBack) {
  poll_slot s;
  s.clear();
  sched::agent* const self = sched::current_agent();
  ASSERT_EQ(s.arm(self), armed::waiting);
  EXPECT_TRUE(s.withdraw(self));
  EXPECT_TRUE(s.is_nil());
  EXPECT_EQ(s.post(), nullptr);
}

// A producer announces items by edges, a consumer waits for them, an evictor disturbs. No wake-up may be lost, and no
// agent may be readied twice (which aborts).
TEST(PollSlot, StressNoEdgeIsLost) {
  poll_slot s;
  constexpr int items = 100'000;
  std::atomic<int> produced{0};
  std::atomic<bool> done{false};
  std::thread consumer([&] {
    int seen = 0;
    while (seen < items) {
      s.clear();
      const int now = produced.load(std::memory_order_seq_cst);
      if (now > seen) {
        seen = now;
        continue;
      }
      sched::agent* const self = sched::current_agent();
      sched::prepare_park(self, sched::wait_reason::descriptor_read);
      switch (s.arm(self)) {
        case armed::was_ready: sched::cancel_park(self); break;
        case armed::waiting:
          if ((now & 7) == 0 && s.withdraw(self)) {
            sched::cancel_park(self);
          } else {
            sched::park(self);
          }
          break;
        case armed::busy: FAIL();
      }
    }
    done = true;
  });
  std::thread evictor([&] {
    while (!done.load()) {
      if (sched::agent* const who = s.evict()) sched::ready(who);
      std::this_thread::yield();
    }
  });
  for (int i = 1; i <= items; ++i) {
    produced.store(i, std::memory_order_seq_cst);
    if (sched::agent* const who = s.post()) sched::ready(who);
  }
  consumer.join();
  evictor.join();
}

}  // namespace
}  // namespace baton::net
