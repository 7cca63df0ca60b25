// FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC deadline, so a wait that is interrupted and
// tried again does not stretch.
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/futex.h>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>

namespace baton::sched::platform {

bool futex_wait(atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns) noexcept {
  timespec ts{};
  timespec* until = nullptr;
  if (deadline_ns != forever_ns) {
    if (deadline_ns < 0) deadline_ns = 0;
    ts.tv_sec = deadline_ns / 1'000'000'000;
    ts.tv_nsec = deadline_ns % 1'000'000'000;
    until = &ts;
  }
  const int saved = errno;
  const long r = ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_BITSET_PRIVATE, expected,
                           until, nullptr, FUTEX_BITSET_MATCH_ANY);
  const bool timed_out = r != 0 && errno == ETIMEDOUT;
  errno = saved;
  return !timed_out;
}

void futex_wake(const atomic<std::uint32_t>* word, int n) noexcept {
  const int saved = errno;
  ::syscall(SYS_futex, reinterpret_cast<const std::uint32_t*>(word), FUTEX_WAKE_PRIVATE, n, nullptr, nullptr, 0);
  errno = saved;
}

}  // namespace baton::sched::platform
