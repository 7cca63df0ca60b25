// Points in time of any clock, as nanoseconds of CLOCK_MONOTONIC: rounded up, saturating.
#pragma once

#include <baton/sched/platform/clock.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

namespace baton::net {

// Any duration in ns, rounded up; what does not fit becomes the nearest int64. NaN counts as 0.
template <class Rep, class Period>
[[nodiscard]] constexpr std::int64_t saturated_ns(std::chrono::duration<Rep, Period> d) noexcept {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  if constexpr (std::is_same_v<Period, std::nano> && std::is_same_v<Rep, std::int64_t>) {
    return d.count();
  } else {
    using wide = std::chrono::duration<long double, std::nano>;
    const long double ns = std::chrono::duration_cast<wide>(d).count();
    if (ns != ns) return 0;
    if (ns >= static_cast<long double>(most)) return most;
    if (ns <= static_cast<long double>(least)) return least;
    const auto whole = static_cast<std::int64_t>(ns);
    return static_cast<long double>(whole) < ns ? whole + 1 : whole;
  }
}

[[nodiscard]] constexpr std::int64_t saturated_sum(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
}

// That long from now. A span that does not fit means never.
template <class Rep, class Period>
[[nodiscard]] std::int64_t deadline_after(std::chrono::duration<Rep, Period> d) noexcept {
  return saturated_sum(sched::platform::now_ns(), saturated_ns(d));
}

// time_point::max() is sched::platform::forever_ns: never.
template <class Clock, class Duration>
[[nodiscard]] std::int64_t deadline_ns_of(const std::chrono::time_point<Clock, Duration>& when) noexcept {
  if (when == std::chrono::time_point<Clock, Duration>::max()) return sched::platform::forever_ns;
  const std::int64_t since_epoch = saturated_ns(when.time_since_epoch());
  if constexpr (std::is_same_v<Clock, std::chrono::steady_clock>) {
    return since_epoch;  // is CLOCK_MONOTONIC
  } else {
    const std::int64_t clock_now = saturated_ns(Clock::now().time_since_epoch());
    if (since_epoch == sched::platform::forever_ns) return since_epoch;
    std::int64_t left = 0;
    if (__builtin_sub_overflow(since_epoch, clock_now, &left))
      return since_epoch > clock_now ? sched::platform::forever_ns : 0;
    return saturated_sum(sched::platform::now_ns(), left);
  }
}

}  // namespace baton::net
