// The scheduler's time: nanoseconds of CLOCK_MONOTONIC in an int64, and raw ticks of the cycle counter where even the
// vDSO clock (25 to 30 ns) costs too much.
#pragma once

#include <cstdint>
#include <ctime>

namespace baton::sched::platform {

inline constexpr std::int64_t forever_ns = INT64_MAX;

inline std::int64_t now_ns() noexcept {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

// Reads the cycle counter, whose rate is constant. Takes about 9 ns. Only differences are meaningful.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t v;
  asm volatile("mrs %0, cntvct_el0" : "=r"(v));
  return v;
#else
  return static_cast<std::uint64_t>(now_ns());
#endif
}

// Calibrates the ratio of ticks to nanoseconds. Called once at start; takes some 200 us.
void init_clock() noexcept;
std::uint64_t ticks_of_ns(std::int64_t ns) noexcept;
std::int64_t ns_of_ticks(std::uint64_t t) noexcept;

}  // namespace baton::sched::platform
