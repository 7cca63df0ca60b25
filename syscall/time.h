// Public API: sleeping in the kernel.
#pragma once

#include <baton/sched/durations.h>
#include <baton/syscall/result.h>

#include <chrono>
#include <cstdint>

namespace baton::sys {

namespace detail {

result<void> nanosleep_ns(std::int64_t span_ns) noexcept;

}  // namespace detail

// Switches. The calling thread sleeps for `span`, by CLOCK_MONOTONIC. After a signal it continues with the remaining
// time. Zero and negative spans return at once; hours::max() is legal. It costs a thread for that time:
// this_fiber::sleep_for parks only the fiber.
template <class Rep, class Period>
result<void> nanosleep(std::chrono::duration<Rep, Period> span) noexcept {
  return detail::nanosleep_ns(baton::detail::saturated_ns(span));
}

}  // namespace baton::sys
