// See lock.h for the protocol.
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/lock.h>

#include <cstdint>

extern "C" {
extern const char __start_baton_lock_slow[];  // NOLINT(*reserved-identifier): the linker's names
extern const char __stop_baton_lock_slow[];   // NOLINT(*reserved-identifier)
}

namespace baton::sched::platform {

namespace {
// A holder that runs needs far less.
constexpr std::int64_t fork_child_patience_ns = 100'000'000;
atomic<bool> in_fork_child{false};
}  // namespace

void spin_locks_in_fork_child() noexcept { in_fork_child.store(true, mo::relaxed); }

// This function has a section of its own, so that a stack shows whether a thread sleeps here. The linker defines where
// a section with such a name begins and ends.
__attribute__((noinline, section("baton_lock_slow"))) void spin_lock::lock_slow() noexcept {
  // A holder that runs is done within some 100 ns; a holder that does not run is worth a sleep. The pauses grow because
  // each attempt takes the cache line away from the holder, which needs it to finish. Two threads at one channel pass
  // 1.7 to 3 times as many items as with an attempt after every pause.
  for (int pauses = 2; pauses <= 128; pauses *= 2) {
    for (int i = 0; i < pauses; ++i) cpu_relax();
    if (try_lock()) return;
  }
  // acquire: as in lock(). From here on the word stays 2, so that unlock() wakes the next sleeper.
  // relaxed: the thread that forked writes it before the child has another thread.
  const bool orphaned = in_fork_child.load(mo::relaxed);
  while (word_.exchange(2, mo::acquire) != 0) {
    const bool rung = futex_wait(word_, 2, orphaned ? now_ns() + fork_child_patience_ns : forever_ns);
    if (!rung && orphaned) return;
  }
}

bool is_in_spin_lock(const void* pc) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(pc);
  return at >= reinterpret_cast<std::uintptr_t>(__start_baton_lock_slow) &&
         at < reinterpret_cast<std::uintptr_t>(__stop_baton_lock_slow);
}

void spin_lock::wake_sleeper() noexcept { futex_wake(&word_, 1); }

}  // namespace baton::sched::platform
