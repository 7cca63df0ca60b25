// Sleeps until a point in time, not for a span. So continuing after a signal does not lengthen the sleep, however many
// signals come.
#include <baton/sched/durations.h>
#include <baton/syscall/time.h>
#include <baton/syscall/typed_call.h>

#include <ctime>

namespace baton::sys::detail {

result<void> nanosleep_ns(std::int64_t span_ns) noexcept {
  constexpr std::int64_t ns_per_s = 1'000'000'000;
  if (span_ns <= 0) return {};
  const std::int64_t until_ns = baton::detail::deadline_after_ns(span_ns);
  const ::timespec until{until_ns / ns_per_s, until_ns % ns_per_s};
  return blocking_call<SYS_clock_nanosleep, void>(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

}  // namespace baton::sys::detail
