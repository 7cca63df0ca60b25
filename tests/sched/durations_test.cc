#include <baton/sched/durations.h>
#include <baton/sched/time_limit.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>

namespace {

using namespace std::chrono_literals;
using baton::detail::deadline_after;
using baton::detail::deadline_at;
using baton::detail::saturated_ns;
using baton::sched::platform::forever_ns;
using baton::sched::platform::now_ns;
namespace chrono = std::chrono;

template <class Rep, class Period = std::ratio<1>>
using seconds_of = chrono::duration<Rep, Period>;

TEST(Durations, AreExactWhereTheyCanBe) {
  EXPECT_EQ(saturated_ns(0ns), 0);
  EXPECT_EQ(saturated_ns(7ns), 7);
  EXPECT_EQ(saturated_ns(-7ns), -7);
  EXPECT_EQ(saturated_ns(3us), 3'000);
  EXPECT_EQ(saturated_ns(24h), 86'400'000'000'000);
  EXPECT_EQ(saturated_ns(seconds_of<double>(0.5)), 500'000'000);
  EXPECT_EQ(saturated_ns(seconds_of<float, std::milli>(2.5F)), 2'500'000);
}

TEST(Durations, RoundUp) {
  using picoseconds = chrono::duration<std::int64_t, std::pico>;
  EXPECT_EQ(saturated_ns(picoseconds(1)), 1);
  EXPECT_EQ(saturated_ns(picoseconds(1000)), 1);
  EXPECT_EQ(saturated_ns(picoseconds(1001)), 2);
  EXPECT_EQ(saturated_ns(picoseconds(-1)), 0);
  EXPECT_EQ(saturated_ns(picoseconds(-1001)), -1);
  using thirds = chrono::duration<int, std::ratio<1, 3>>;
  EXPECT_EQ(saturated_ns(thirds(1)), 333'333'334);
  EXPECT_EQ(saturated_ns(seconds_of<double, std::nano>(0.001)), 1);
  EXPECT_EQ(saturated_ns(seconds_of<double, std::nano>(-0.999)), 0);
}

TEST(Durations, Saturate) {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t smallest = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(saturated_ns(chrono::hours::max()), largest);
  EXPECT_EQ(saturated_ns(chrono::hours::min()), smallest);
  EXPECT_EQ(saturated_ns(chrono::nanoseconds::max()), largest);
  EXPECT_EQ(saturated_ns(seconds_of<std::uint64_t>(~std::uint64_t{0})), largest);
  EXPECT_EQ(saturated_ns(seconds_of<double>(1e300)), largest);
  EXPECT_EQ(saturated_ns(seconds_of<double>(-1e300)), smallest);
  EXPECT_EQ(saturated_ns(seconds_of<double>(std::numeric_limits<double>::infinity())), largest);
  EXPECT_EQ(saturated_ns(seconds_of<double>(std::numeric_limits<double>::quiet_NaN())), 0);
}

TEST(Durations, BecomeDeadlines) {
  const std::int64_t before = now_ns();
  const std::int64_t deadline = deadline_after(5ms);
  EXPECT_GE(deadline, before + 5'000'000);
  EXPECT_LE(deadline, now_ns() + 5'000'000);
  EXPECT_EQ(deadline_after(chrono::hours::max()), forever_ns);
  EXPECT_EQ(deadline_after(chrono::nanoseconds::max()), forever_ns);
  EXPECT_EQ(deadline_after(chrono::nanoseconds::max() - 1ns), forever_ns);
  EXPECT_LT(deadline_after(-1s), now_ns());
  EXPECT_EQ(deadline_after(chrono::hours::min()), 1);
  EXPECT_EQ(deadline_after(-chrono::nanoseconds::max()), 1);
  const std::int64_t after_nan = deadline_after(seconds_of<double>(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_LE(after_nan, now_ns());
}

TEST(Durations, SteadyTimePointsAreTakenAsTheyAre) {
  const auto when = chrono::steady_clock::now() + 3s;
  EXPECT_EQ(deadline_at(when), when.time_since_epoch().count());
  EXPECT_EQ(deadline_at(chrono::steady_clock::time_point::max()), forever_ns);
  EXPECT_EQ(deadline_at(chrono::steady_clock::time_point::min()), 1);
  EXPECT_EQ(deadline_at(chrono::time_point<chrono::steady_clock, chrono::hours>::max()), forever_ns);
}

TEST(Durations, OtherClocksCountFromTheirOwnNow) {
  const std::int64_t before = now_ns();
  const std::int64_t deadline = deadline_at(chrono::system_clock::now() + 1h);
  EXPECT_GE(deadline, before + 3'599'000'000'000);
  EXPECT_LE(deadline, now_ns() + 3'601'000'000'000);
  EXPECT_LT(deadline_at(chrono::system_clock::now() - 1s), now_ns());
  EXPECT_EQ(deadline_at(chrono::system_clock::time_point::max()), forever_ns);
  EXPECT_EQ(deadline_at(chrono::system_clock::time_point::min()), 1);
  EXPECT_EQ(deadline_at(chrono::time_point<chrono::system_clock, chrono::hours>::max()), forever_ns);
  using float_time = chrono::time_point<chrono::system_clock, seconds_of<double>>;
  EXPECT_EQ(deadline_at(float_time(seconds_of<double>(1e300))), forever_ns);
}

TEST(Durations, AClockHasComeToWhatHasPassed) {
  using baton::detail::has_come;
  using clock = chrono::system_clock;
  using hours_time = chrono::time_point<clock, chrono::hours>;
  using float_time = chrono::time_point<clock, seconds_of<double>>;
  EXPECT_TRUE(has_come(clock::now()));
  EXPECT_FALSE(has_come(clock::now() + 1h));
  EXPECT_FALSE(has_come(clock::time_point::max()));
  EXPECT_TRUE(has_come(clock::time_point::min()));
  // These overflow as nanoseconds, some of them to a time that is to come.
  EXPECT_TRUE(has_come(hours_time(chrono::hours(-3'000'000))));
  EXPECT_TRUE(has_come(hours_time::min()));
  EXPECT_FALSE(has_come(hours_time(chrono::hours(6'000'000))));
  EXPECT_FALSE(has_come(hours_time::max()));
  constexpr double infinity = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(has_come(float_time(seconds_of<double>(infinity))));
  EXPECT_TRUE(has_come(float_time(seconds_of<double>(-infinity))));
  // A wait for it would never end otherwise.
  EXPECT_TRUE(has_come(float_time(seconds_of<double>(std::numeric_limits<double>::quiet_NaN()))));
}

// A clock that is finer than a nanosecond.
struct fine_clock {
  using duration = chrono::duration<std::int64_t, std::pico>;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = chrono::time_point<fine_clock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() { return time_point(duration(5'300)); }
};

TEST(Durations, AFineClockHasNotComeBeforeItsTime) {
  using baton::detail::has_come;
  EXPECT_TRUE(has_come(fine_clock::time_point(fine_clock::duration(5'300))));
  EXPECT_FALSE(has_come(fine_clock::time_point(fine_clock::duration(5'400))));
  EXPECT_FALSE(has_come(fine_clock::time_point(fine_clock::duration(6'100))));
}

TEST(Durations, SumsAndProductsSaturate) {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t smallest = std::numeric_limits<std::int64_t>::min();
  using baton::detail::saturated_product;
  using baton::detail::saturated_sum;
  EXPECT_EQ(saturated_sum(3, -5), -2);
  EXPECT_EQ(saturated_sum(largest, 1), largest);
  EXPECT_EQ(saturated_sum(smallest, -1), smallest);
  EXPECT_EQ(saturated_product(3, -5), -15);
  EXPECT_EQ(saturated_product(largest, 2), largest);
  EXPECT_EQ(saturated_product(-2, largest), smallest);
  EXPECT_EQ(saturated_product(smallest, -1), largest);
}

TEST(TimeLimit, TakesAnyDurationAndSaturates) {
  EXPECT_EQ(baton::time_limit().ns(), forever_ns);
  EXPECT_EQ(baton::time_limit(5ms).ns(), 5'000'000);
  EXPECT_EQ(baton::time_limit(chrono::hours::max()).ns(), forever_ns);
  EXPECT_EQ(baton::time_limit(chrono::nanoseconds::max()).ns(), forever_ns);
  EXPECT_EQ(baton::time_limit(chrono::hours::min()).ns(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(baton::time_limit(chrono::hours::min()).ns_at_least_zero(), 0);
  EXPECT_EQ(baton::time_limit(seconds_of<double>(0.25)).ns(), 250'000'000);
  EXPECT_EQ(baton::time_limit(chrono::hours::max()).deadline_ns(), forever_ns);
  EXPECT_EQ(baton::time_limit(chrono::hours::min()).deadline_ns(), 1);
}

// What programs did with a limit when the members of options were plain nanoseconds.
TEST(TimeLimit, IsANumberOfNanoseconds) {
  baton::time_limit limit = 10ms;
  limit = 5ms;
  const chrono::nanoseconds ns = limit;
  EXPECT_EQ(ns, 5ms);
  EXPECT_EQ(limit.count(), 5'000'000);
  EXPECT_EQ(chrono::duration_cast<chrono::milliseconds>(limit).count(), 5);
  EXPECT_EQ(limit * 2, 10ms);
  limit += 1ms;
  EXPECT_EQ(limit, 6ms);
  EXPECT_EQ(6ms, limit);
  EXPECT_EQ(limit, baton::time_limit(6ms));
  EXPECT_LT(limit, chrono::hours::max());  // with plain nanoseconds the hours overflow
  EXPECT_GT(chrono::hours::max(), limit);
  EXPECT_GE(limit, 1us);
  EXPECT_NE(limit, 1s);
  EXPECT_LT(limit, baton::time_limit());
}

}  // namespace
