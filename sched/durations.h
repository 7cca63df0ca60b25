// Durations and time points of every kind, as the runtime counts time. A deadline is an absolute number of nanoseconds
// of CLOCK_MONOTONIC, at least 1; sched::platform::forever_ns means "none".
//
// Every conversion rounds up (no fiber or thread wakes before the time that was asked for) and saturates: hours::max()
// is legal and means without limit, and a negative or past value means now. A NaN counts as zero. A time point of a
// clock other than steady_clock is converted by its distance from that clock's now(). When a wait until such a time
// point is over, it looks at that clock again. It goes on if the clock has not come to the time point, because it is
// slower or was set back (until()). A clock that is set forward meanwhile is not noticed.
#pragma once

#include <baton/sched/platform/clock.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

namespace baton::detail {

__extension__ typedef __int128 wide_integer;  // NOLINT(modernize-use-using): a using takes no __extension__

// Returns the nanoseconds of a duration, rounded up, and clamped to the range of int64.
template <class Rep, class Period>
[[nodiscard]] constexpr std::int64_t saturated_ns(const std::chrono::duration<Rep, Period>& d) {
  using scale = std::ratio_divide<Period, std::nano>;
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t smallest = std::numeric_limits<std::int64_t>::min();
  if constexpr (std::is_integral_v<Rep> && sizeof(Rep) <= 8) {
    // 64 by 63 bits: this never overflows 128.
    const wide_integer scaled = static_cast<wide_integer>(d.count()) * scale::num;
    wide_integer ns = scaled / scale::den;
    if (scaled % scale::den > 0) ++ns;  // the division truncates, which is upwards below zero
    if (ns > largest) return largest;
    if (ns < smallest) return smallest;
    return static_cast<std::int64_t>(ns);
  } else {
    const long double ns = static_cast<long double>(d.count()) * static_cast<long double>(scale::num) /
                           static_cast<long double>(scale::den);
    if (ns != ns) return 0;
    if (ns >= 0x1p63L) return largest;
    if (ns < -0x1p63L) return smallest;
    const auto whole = static_cast<std::int64_t>(ns);
    return static_cast<long double>(whole) < ns && whole != largest ? whole + 1 : whole;
  }
}

// The sum and the product of spans and points of time. A result that does not fit becomes the nearest value that does.
[[nodiscard]] constexpr std::int64_t saturated_sum(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
}
[[nodiscard]] constexpr std::int64_t saturated_product(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product;
  return (a < 0) == (b < 0) ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
}

// Returns the deadline that lies `ns` after now; max() means no deadline.
[[nodiscard]] inline std::int64_t deadline_after_ns(std::int64_t ns) noexcept {
  if (ns == sched::platform::forever_ns) return ns;
  const std::int64_t at = saturated_sum(sched::platform::now_ns(), ns);
  return at < 1 ? 1 : at;
}

template <class Rep, class Period>
[[nodiscard]] std::int64_t deadline_after(const std::chrono::duration<Rep, Period>& d) {
  return deadline_after_ns(saturated_ns(d));
}

template <class Clock, class Duration>
[[nodiscard]] std::int64_t deadline_at(const std::chrono::time_point<Clock, Duration>& when) {
  const std::int64_t at = saturated_ns(when.time_since_epoch());
  if (at == sched::platform::forever_ns) return sched::platform::forever_ns;
  if constexpr (std::is_same_v<Clock, std::chrono::steady_clock>) {
    return at < 1 ? 1 : at;  // on Linux steady_clock is CLOCK_MONOTONIC
  } else {
    const std::int64_t now = saturated_ns(Clock::now().time_since_epoch());
    std::int64_t left = 0;
    if (__builtin_sub_overflow(at, now, &left)) {
      return at > now ? sched::platform::forever_ns : 1;
    }
    return deadline_after_ns(left);
  }
}

// Returns true if that clock has come to `when`. Requires: a wait until deadline_at(when) has just ended without
// success. The comparison is of what deadline_at() converted: `when` may be a NaN, which no clock comes to, and may
// overflow in the clock's own unit.
template <class Clock, class Duration>
[[nodiscard]] bool has_come(const std::chrono::time_point<Clock, Duration>& when) {
  if constexpr (std::is_same_v<Clock, std::chrono::steady_clock>) {
    return true;
  } else {
    const auto now = Clock::now();
    const std::int64_t now_ns = saturated_ns(now.time_since_epoch());
    const std::int64_t when_ns = saturated_ns(when.time_since_epoch());
    if (now_ns != when_ns) return now_ns > when_ns;
    return !(now < when);  // both may have been rounded up to one nanosecond
  }
}

// attempt(deadline_ns) waits no longer than until that deadline, and returns true if it was successful. It is called
// until it was successful, or the clock has come to `when`.
template <class Clock, class Duration, class Attempt>
bool until(const std::chrono::time_point<Clock, Duration>& when, Attempt attempt) {
  do {
    if (attempt(deadline_at(when))) return true;
  } while (!has_come(when));
  return false;
}

}  // namespace baton::detail
