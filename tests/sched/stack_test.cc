// Stacks: their classes, guards with every fallback, reuse, and what an overflow says.
#include "on_fiber.h"

#include <baton/sched/stack_overflow.h>
#include <baton/sched/stack_pool.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace baton::sched;
using guard_kind = stack_pool::guard_kind;

stack_pool& pool() { return stack_pool::instance(); }

stack take(std::size_t klass) {
  stack s;
  EXPECT_EQ(pool().acquire(klass, &s, 1), 1U);
  return s;
}

TEST(StackClasses, TheSmallestThatFits) {
  EXPECT_EQ(stack_class_for(1), 0U);
  EXPECT_EQ(stack_class_for(64 * 1024), 1U);
  EXPECT_EQ(stack_class_for(64 * 1024 + 1), 2U);
  EXPECT_EQ(stack_class_for(8 * 1024 * 1024), 4U);
  EXPECT_EQ(stack_class_for(8 * 1024 * 1024 + 1), stack_classes);
  EXPECT_GE(stack_class_size(0), 16U * 1024U);
}

TEST(StackPool, AStackIsUsableFromTopToLimit) {
  for (std::size_t klass = 0; klass < stack_classes; ++klass) {
    const stack s = take(klass);
    ASSERT_TRUE(s);
    EXPECT_EQ(s.size, stack_class_size(klass));
    std::memset(s.limit(), 0x5A, s.size);
    EXPECT_EQ(*(s.top - 1), std::byte{0x5A});
    stack owner;
    EXPECT_TRUE(pool().find_stack(s.limit(), &owner));
    EXPECT_EQ(owner.top, s.top);
    EXPECT_TRUE(pool().find_guard(s.limit() - 1, &owner));
    EXPECT_EQ(owner.top, s.top);
    EXPECT_FALSE(pool().find_guard(s.limit(), &owner));
    pool().release(&s, 1);
  }
  int outside = 0;
  stack owner;
  EXPECT_FALSE(pool().find_guard(&outside, &owner));
  EXPECT_FALSE(pool().find_stack(&outside, &owner));
}

TEST(StackPool, ReusesWhatCameBack) {
  const stack s = take(1);
  pool().release(&s, 1);
  EXPECT_EQ(take(1).top, s.top);
  pool().release(&s, 1);
}

TEST(StackPool, NoTwoOwners) {
  std::vector<stack> all(3000);
  std::size_t have = 0;
  while (have < all.size()) have += pool().acquire(0, all.data() + have, all.size() - have);
  std::vector<std::byte*> tops;
  for (const stack& s : all) tops.push_back(s.top);
  std::sort(tops.begin(), tops.end());
  EXPECT_EQ(std::adjacent_find(tops.begin(), tops.end()), tops.end());
  pool().release(all.data(), all.size());
}

TEST(StackPool, DeepPagesGoBackToTheKernel) {
  const std::uint64_t before = pool().read().trimmed;
  stack s = take(2);
  // Some releases pass before one is sampled.
  for (int i = 0; i < 100 && pool().read().trimmed == before; ++i) {
    std::memset(s.limit(), 1, s.size);
    pool().release(&s, 1);
    stack again = take(2);
    ASSERT_EQ(again.top, s.top);
  }
  ASSERT_GT(pool().read().trimmed, before);
  unsigned char resident = 1;
  ASSERT_EQ(::mincore(s.limit(), 4096, &resident), 0);
  EXPECT_EQ(resident & 1, 0);
  pool().release(&s, 1);
}

TEST(StackGuardDeathTest, TouchingItIsReportedWithTheFibersName) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(baton_test::join(baton_test::spawn_fiber(
                   [] {
                     stack mine;
                     char here = 0;
                     if (!pool().find_stack(&here, &mine)) return;
                     *reinterpret_cast<volatile char*>(mine.limit() - 8) = 1;
                   },
                   true, "greedy")),
               "stack overflow in fiber [0-9]+ \"greedy\": its stack of 256 KiB is used up");
}

int recurse(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth > 0 ? recurse(depth - 1) + frame[0] : frame[0];
}

TEST(StackGuardDeathTest, RecursionWithoutEndIsReported) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(baton_test::on_fiber([] { std::printf("%d", recurse(100'000'000)); }), "stack overflow in fiber");
}

TEST(StackGuardDeathTest, AnyOtherBadAddressIsNotAnOverflow) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  volatile std::uintptr_t nowhere = 64;
  EXPECT_EXIT(baton_test::on_fiber([&] { *reinterpret_cast<volatile int*>(nowhere) = 1; }),
              [](int status) { return !WIFEXITED(status) || WEXITSTATUS(status) != 0; }, "");
}

// In a process of its own: the fallbacks change what the pool does from then on.
TEST(StackGuardDeathTest, MprotectStandsInAndAtItsLimitSaysSoOnce) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        pool().set_guard_for_test(guard_kind::mprotect_pages, 200);
        std::vector<stack> all(1000);
        std::size_t have = 0;
        while (have < all.size()) have += pool().acquire(3, all.data() + have, all.size() - have);
        const bool ok = pool().guard() == guard_kind::none && pool().read().guard_failures >= 800 - 64;
        for (const stack& s : all) std::memset(s.top - 64, 1, 64);
        std::_Exit(ok ? 7 : 1);
      },
      testing::ExitedWithCode(7), "^baton: stacks from here on have no guard[^\n]*\n$");
}

TEST(StackGuardDeathTest, MprotectGuardsWork) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        pool().set_guard_for_test(guard_kind::mprotect_pages, 20'000);
        baton_test::on_fiber([] { std::printf("%d", recurse(100'000'000)); });
      },
      "stack overflow in fiber");
}

#if !BATON_ASAN && !BATON_TSAN
// The sanitizers' shadow memory does not live under such a limit.
TEST(StackPoolDeathTest, RefusedMemoryIsAnAnswer) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        rlimit limit;
        limit.rlim_cur = limit.rlim_max = std::size_t{512} << 20;
        ::setrlimit(RLIMIT_AS, &limit);
        std::vector<stack> all(200);
        std::size_t have = 0;
        for (std::size_t got = 1; got > 0 && have < all.size(); have += got) {
          got = pool().acquire(4, all.data() + have, all.size() - have);
        }
        // Refused in the middle; what was given still works, and what comes back can be had again.
        bool ok = have > 10 && have < 100;
        pool().release(all.data(), 1);
        ok = ok && pool().acquire(4, all.data(), 1) == 1;
        std::_Exit(ok ? 7 : 1);
      },
      testing::ExitedWithCode(7), "");
}
#endif

TEST(StackPool, AHundredThousandGuardedOnes) {
  std::vector<stack> all(BATON_ASAN || BATON_TSAN ? 5'000 : 100'000);
  const std::uint64_t failures = pool().read().guard_failures;
  std::size_t have = 0;
  while (have < all.size()) {
    const std::size_t got = pool().acquire(1, all.data() + have, std::min<std::size_t>(32, all.size() - have));
    ASSERT_GT(got, 0U);
    have += got;
  }
  if (pool().guard() == guard_kind::guard_region) {
    EXPECT_EQ(pool().read().guard_failures, failures);
  }
  pool().release(all.data(), all.size());
}

}  // namespace
