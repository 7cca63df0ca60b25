// Types that option structs and setters take, so that any duration and any context fit in.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/clock.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>

namespace baton::net {

// A span of time, or none: converts from any std::chrono::duration; hours::max() means without limit.
class time_limit {
 public:
  constexpr time_limit() noexcept = default;
  template <class Rep, class Period>
  constexpr time_limit(std::chrono::duration<Rep, Period> d) noexcept  // NOLINT(google-explicit-constructor)
      : ns_(detail::saturated_ns(d)) {}

  // The point in time that lies this far ahead.
  [[nodiscard]] std::int64_t deadline_ns() const noexcept {
    if (ns_ == sched::platform::forever_ns) return ns_;
    return detail::deadline_after_ns(ns_);
  }
  [[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }

 private:
  std::int64_t ns_ = sched::platform::forever_ns;
};

// What set_context() takes: baton::context, or anything else that hands out a cancellation.
template <class Context>
concept cancellation_source = requires(const Context& c) {
  { c.as_cancellation() } -> std::convertible_to<std::shared_ptr<cancellation>>;
};

// The same as a member of an options struct: converts from a context; none by default.
class context_option {
 public:
  context_option() noexcept = default;
  template <cancellation_source Context>
  context_option(const Context& c) : value_(c.as_cancellation()) {}  // NOLINT(google-explicit-constructor)
  context_option(std::shared_ptr<cancellation> c) noexcept           // NOLINT(google-explicit-constructor)
      : value_(std::move(c)) {}

  [[nodiscard]] const std::shared_ptr<cancellation>& get() const noexcept { return value_; }

 private:
  std::shared_ptr<cancellation> value_;
};

}  // namespace baton::net
