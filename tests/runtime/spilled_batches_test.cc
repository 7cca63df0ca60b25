// What fibers that spawn fibers can rely on: a tree of them is walked depth first, so that few have begun and wait. No
// fiber is forgotten, whatever else keeps the Ps busy.
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>

#include <baton/sched/sanitizer.h>

#include <gtest/gtest.h>

#include <atomic>

namespace {

constexpr bool sanitized = BATON_TSAN || BATON_ASAN;

struct tree {
  std::atomic<int> begun{0};  // and have not ended
  std::atomic<int> most{0};
  std::atomic<int> leaves{0};

  // A node waits for its ten children.
  void node(int size) {
    const int now = begun.fetch_add(1) + 1;
    int before = most.load();
    while (before < now && !most.compare_exchange_weak(before, now)) {
    }
    if (size == 1) {
      ++leaves;
    } else {
      baton::wait_group children;
      children.add(10);
      for (int i = 0; i < 10; ++i) {
        baton::go([this, size, &children] {
          node(size / 10);
          children.done();
        });
      }
      children.wait();
    }
    --begun;
  }
};

TEST(Spilled, ATreeOfFibersIsWalkedByDepth) {
  constexpr int leaves = sanitized ? 10'000 : 100'000;
  tree t;
  baton::run([&] { t.node(leaves); });
  EXPECT_EQ(t.leaves, leaves);
  EXPECT_EQ(t.begun, 0);
  // A FIFO would have 1,400 at once. With more Ps than CPUs one P may be kept from its batch while others go on.
  if (!sanitized && baton::procs() == 1) {
    EXPECT_LT(t.most, 700);
  }
}

// The ring of the P is never empty, and spilled fibers must not wait for that.
TEST(Spilled, FibersThatYieldForEverKeepNobodyWaiting) {
  constexpr int bursts = sanitized ? 200 : 2'000;
  constexpr int burst = 100;
  std::atomic<int> ran{0};
  baton::run([&] {
    std::atomic<bool> over{false};
    baton::wait_group all;
    for (int i = 0; i < 3; ++i) {
      all.add();
      baton::go([&] {
        while (!over) baton::this_fiber::yield();
        all.done();
      });
    }
    for (int i = 0; i < bursts; ++i) {
      for (int k = 0; k < burst; ++k) baton::go([&] { ++ran; });
      baton::this_fiber::yield();
    }
    while (ran != bursts * burst) baton::this_fiber::yield();
    over = true;
    all.wait();
  });
  EXPECT_EQ(ran, bursts * burst);
}

// Some thousands of fibers that have not run are in batches while the number of Ps changes: all run.
TEST(Spilled, NoneIsLostWhenPsComeAndGo) {
  const int procs = baton::procs();
  std::atomic<int> leaves{0};
  for (const int n : {1, 4, 2, 8, 1}) {
    tree t;
    baton::run([&] {
      baton::go([n] { baton::set_procs(n); });
      t.node(10'000);
    });
    leaves += t.leaves;
  }
  baton::set_procs(procs);
  EXPECT_EQ(leaves, 50'000);
}

}  // namespace
