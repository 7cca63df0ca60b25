// A span of time as a member of an options struct.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/clock.h>

#include <chrono>
#include <compare>
#include <cstdint>

namespace baton {

// Nanoseconds that convert from any std::chrono::duration: rounded up, saturating. A duration that does not fit, such
// as hours::max(), becomes max(), which means no limit; so does a default time_limit. It is a std::chrono::nanoseconds
// wherever one is wanted. Comparisons with durations of other units saturate, too.
//
// Thread safety: a plain value.
class time_limit : public std::chrono::nanoseconds {
 public:
  constexpr time_limit() noexcept : std::chrono::nanoseconds(std::chrono::nanoseconds::max()) {}
  template <class Rep, class Period>
  constexpr time_limit(const std::chrono::duration<Rep, Period>& d) noexcept  // NOLINT(google-explicit-constructor)
      : std::chrono::nanoseconds(detail::saturated_ns(d)) {}

  [[nodiscard]] constexpr std::int64_t ns() const noexcept { return count(); }
  // The same, but not below zero.
  [[nodiscard]] constexpr std::int64_t ns_at_least_zero() const noexcept { return count() < 0 ? 0 : count(); }
  // Returns the point in time that lies this far ahead of now.
  [[nodiscard]] std::int64_t deadline_ns() const noexcept { return detail::deadline_after_ns(count()); }

  friend constexpr bool operator==(const time_limit& a, const time_limit& b) noexcept { return a.ns() == b.ns(); }
  friend constexpr std::strong_ordering operator<=>(const time_limit& a, const time_limit& b) noexcept {
    return a.ns() <=> b.ns();
  }
  template <class Rep, class Period>
  friend constexpr bool operator==(const time_limit& a, const std::chrono::duration<Rep, Period>& b) noexcept {
    return a.ns() == detail::saturated_ns(b);
  }
  template <class Rep, class Period>
  friend constexpr std::strong_ordering operator<=>(const time_limit& a,
                                                    const std::chrono::duration<Rep, Period>& b) noexcept {
    return a.ns() <=> detail::saturated_ns(b);
  }
};

static_assert(std::chrono::nanoseconds::max().count() == sched::platform::forever_ns);

}  // namespace baton
