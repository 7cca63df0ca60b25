// The baton word, transition by transition and under stress.
#include "baton_rule.h"

#include <gtest/gtest.h>

#include <ctime>

namespace {

using baton::sched::baton_word;
using baton::sched::place;
using baton::sched::platform::barrier_kind;

class BatonWord : public testing::Test {
 protected:
  static void SetUpTestSuite() { baton::sched::platform::init_barriers(); }
  void get_a_p() {
    static_cast<void>(word_.enter());
    word_.regain();
  }
  baton_word word_;
};

TEST_F(BatonWord, BeginsWithoutAP) {
  EXPECT_FALSE(word_.enter());
  EXPECT_FALSE(word_.keep());
  EXPECT_FALSE(word_.ask()) << "an M without a P is no candidate";
}

TEST_F(BatonWord, NobodyAsksNobodyHeeds) {
  get_a_p();
  word_.leave(place::user);
  EXPECT_TRUE(word_.enter());
  word_.begin_syscall();
  EXPECT_TRUE(word_.end_syscall());
}

TEST_F(BatonWord, TakesAVisitThatStays) {
  get_a_p();
  word_.begin_syscall();
  const auto v = word_.judge();
  EXPECT_EQ(v.where, place::syscall);
  ASSERT_TRUE(word_.ask());
  EXPECT_TRUE(word_.take(v));
  EXPECT_FALSE(word_.end_syscall());
  EXPECT_FALSE(word_.enter());
  EXPECT_FALSE(word_.keep());
}

TEST_F(BatonWord, TheMKeepsItsPWhenItIsFaster) {
  get_a_p();
  word_.leave(place::user);
  const auto v = word_.judge();
  ASSERT_TRUE(word_.ask());
  EXPECT_FALSE(word_.enter());
  EXPECT_TRUE(word_.keep());
  EXPECT_FALSE(word_.take(v));
  word_.leave(place::user);
  EXPECT_TRUE(word_.enter()) << "nothing is left to heed";
}

TEST_F(BatonWord, ANewVisitIsNotTheOneThatWasJudged) {
  get_a_p();
  word_.leave(place::user);
  const auto v = word_.judge();
  static_cast<void>(word_.enter());
  word_.leave(place::user);
  ASSERT_TRUE(word_.ask());
  EXPECT_FALSE(word_.take(v));
  EXPECT_TRUE(word_.enter()) << "a refused revoker leaves no trace";
}

TEST_F(BatonWord, AnMThatHasAnotherPByNowIsNotTaken) {
  get_a_p();
  word_.leave(place::user);
  const auto v = word_.judge();
  ASSERT_TRUE(word_.ask());
  EXPECT_FALSE(word_.take(v, false));
  EXPECT_TRUE(word_.enter()) << "a refused revoker leaves no trace";
}

TEST_F(BatonWord, AnMInASectionIsNotTaken) {
  get_a_p();
  word_.leave(place::user);
  const auto v = word_.judge();
  ASSERT_TRUE(word_.ask());
  static_cast<void>(word_.enter());
  EXPECT_FALSE(word_.take(v));
}

TEST_F(BatonWord, WhatIsGivenAwayCannotBeTaken) {
  get_a_p();
  word_.leave(place::user);
  const auto v = word_.judge();
  ASSERT_TRUE(word_.ask());
  word_.release_p();
  EXPECT_FALSE(word_.take(v));
  EXPECT_FALSE(word_.enter());
}

TEST_F(BatonWord, OtherNoticesSurviveARevoker) {
  get_a_p();
  word_.leave(place::user);
  word_.tell(baton_word::slice_over);
  const auto v = word_.judge();
  ASSERT_TRUE(word_.ask());
  EXPECT_TRUE(word_.take(v));
  EXPECT_NE(word_.notice() & baton_word::slice_over, 0U);
  EXPECT_NE(word_.notice() & baton_word::no_p, 0U);
}

class BatonRule : public testing::TestWithParam<bool> {};

TEST_P(BatonRule, NoTwoOwnersUnderStress) {
  const bool fence_only = GetParam();
  const auto kind = baton::sched::platform::init_barriers(fence_only);
  if (fence_only) {
    ASSERT_EQ(kind, barrier_kind::fence);
  }
  const auto seen = baton_rule::stress(4, 3).run(std::chrono::milliseconds(1500), true);
  baton::sched::platform::init_barriers();
  EXPECT_EQ(seen.violations, 0U);
  // The stress must have reached every way in which a P changes hands.
  EXPECT_GT(seen.touches, 0U);
  EXPECT_GT(seen.given, 0U);
  EXPECT_GT(seen.taken, 0U);
  RecordProperty("touches", std::to_string(seen.touches));
  RecordProperty("taken", std::to_string(seen.taken));
  RecordProperty("refused", std::to_string(seen.refused));
}

INSTANTIATE_TEST_SUITE_P(Barriers, BatonRule, testing::Values(false, true),
                         [](const auto& p) { return p.param ? "fence" : "membarrier"; });

#if !BATON_TSAN
// Proves that the stress detects violations: without the heavy fence the rule breaks. (Under ThreadSanitizer the light
// side is a full fence as well, so nothing would break.)
TEST(BatonRuleWithoutHeavyBarrier, IsSeenToBreak) {
  if (baton::sched::platform::init_barriers() != barrier_kind::membarrier) {
    std::printf("no membarrier here: both sides are full fences, and there is nothing to leave out\n");
    return;
  }
  baton::sched::platform::disable_heavy_fence_for_test(true);
  const std::clock_t before = std::clock();
  const auto seen = baton_rule::stress(4, 3).run(std::chrono::seconds(30), true);
  const double cpus = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC / 30;
  baton::sched::platform::disable_heavy_fence_for_test(false);
  if (seen.violations == 0 && cpus < 1.5) GTEST_SKIP() << "two threads must run at once, and had " << cpus << " CPUs";
  EXPECT_GT(seen.violations, 0U) << "after " << seen.touches << " touches and " << seen.taken << " takes";
}
#endif

}  // namespace
