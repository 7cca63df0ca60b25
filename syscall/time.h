// Sleeping in the kernel.
#pragma once

#include <baton/syscall/result.h>

#include <chrono>
#include <cstdint>

namespace baton::sys {

namespace detail {

// A span of time in whole nanoseconds: rounded up, negative ones (and NaN) as 0, what is too long for
// an int64 (292 years) as the longest.
template <class Rep, class Period>
constexpr std::int64_t ns_rounded_up(std::chrono::duration<Rep, Period> span) noexcept {
  using std::chrono::duration;
  if (!(span > duration<Rep, Period>::zero())) return 0;
  if (duration<long double, std::nano>(span).count() >= 9.2e18L) return INT64_MAX;
  return std::int64_t{std::chrono::ceil<std::chrono::nanoseconds>(span).count()};
}

result<void> nanosleep_ns(std::int64_t span_ns) noexcept;

}  // namespace detail

// (S) The calling thread sleeps for `span`, by CLOCK_MONOTONIC; after a signal it goes on with what is
// left. Zero and negative spans return at once, hours::max() is legal. It costs a thread for that time:
// this_fiber::sleep_for parks the fiber alone.
template <class Rep, class Period>
result<void> nanosleep(std::chrono::duration<Rep, Period> span) noexcept {
  return detail::nanosleep_ns(detail::ns_rounded_up(span));
}

}  // namespace baton::sys
