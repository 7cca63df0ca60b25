// See lock.h for the protocol.
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/lock.h>

namespace baton::sched::platform {

void spin_lock::lock_slow() noexcept {
  // A holder that runs is done within some 100 ns; one that does not is worth a sleep. Ever longer pauses: each
  // look takes the cache line away from the holder, who needs it to get done. Two threads at one channel pass
  // 1.7 to 3 times as many items as with a look at every pause.
  for (int pauses = 2; pauses <= 128; pauses *= 2) {
    for (int i = 0; i < pauses; ++i) cpu_relax();
    if (try_lock()) return;
  }
  // acquire: as in lock(). From here on the word is left at 2, so that unlock() wakes the next one.
  while (word_.exchange(2, mo::acquire) != 0) futex_wait(word_, 2, forever_ns);
}

void spin_lock::wake_sleeper() noexcept { futex_wake(&word_, 1); }

}  // namespace baton::sched::platform
