// The calls are bare traps: a program's wrapper around syscall() (syscall/interpose/) takes a futex wait for a call of
// the user's, and these may happen where no such call may be declared.
//
// FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC deadline, so a wait that is interrupted and repeated does not
// last longer.
//
// Under ThreadSanitizer a sleep is split into spans of 10 ms. Between two spans the signal handlers that
// ThreadSanitizer has deferred run.
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/pending_handlers.h>
#include <baton/sched/platform/trap.h>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <cerrno>

namespace baton::sched::platform {

namespace {

// Returns false if the deadline passed.
bool wait_until(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns) noexcept {
  timespec ts{};
  timespec* until = nullptr;
  if (deadline_ns != forever_ns) {
    if (deadline_ns < 0) deadline_ns = 0;
    ts.tv_sec = deadline_ns / 1'000'000'000;
    ts.tv_nsec = deadline_ns % 1'000'000'000;
    until = &ts;
  }
  const long r = trap6(SYS_futex, reinterpret_cast<long>(&word), FUTEX_WAIT_BITSET_PRIVATE, static_cast<long>(expected),
                       reinterpret_cast<long>(until), 0, FUTEX_BITSET_MATCH_ANY);
  return r != -ETIMEDOUT;
}

}  // namespace

bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns) noexcept {
#if BATON_TSAN
  constexpr std::int64_t look_every_ns = 10'000'000;
  for (std::int64_t look = 0; (look = now_ns() + look_every_ns) < deadline_ns;) {
    if (wait_until(word, expected, look)) return true;
    run_pending_handlers();
  }
#endif
  return wait_until(word, expected, deadline_ns);
}

void futex_wake(const atomic<std::uint32_t>* word, int n) noexcept {
  static_cast<void>(trap3(SYS_futex, reinterpret_cast<long>(word), FUTEX_WAKE_PRIVATE, n));
}

}  // namespace baton::sched::platform
