// init_clock() calibrates the cycle counter against CLOCK_MONOTONIC over a short busy span. An error of a few per mille
// does no harm: ticks only decide when to read the real clock.
#include <baton/sched/platform/clock.h>

namespace baton::sched::platform {

namespace {
double ticks_per_ns = 1.0;  // written by init_clock before other threads start
}

void init_clock() noexcept {
  const std::int64_t t0 = now_ns();
  const std::uint64_t c0 = ticks();
  std::int64_t t1 = t0;
  while (t1 - t0 < 200'000) t1 = now_ns();
  const std::uint64_t c1 = ticks();
  ticks_per_ns = static_cast<double>(c1 - c0) / static_cast<double>(t1 - t0);
  if (!(ticks_per_ns > 0.0001)) ticks_per_ns = 1.0;
}

std::uint64_t ticks_of_ns(std::int64_t ns) noexcept {
  return static_cast<std::uint64_t>(static_cast<double>(ns) * ticks_per_ns);
}

std::int64_t ns_of_ticks(std::uint64_t t) noexcept {
  return static_cast<std::int64_t>(static_cast<double>(t) / ticks_per_ns);
}

}  // namespace baton::sched::platform
