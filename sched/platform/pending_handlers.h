// ThreadSanitizer puts the handler of a signal off until the thread is in one of the C library's functions that it
// knows. A thread in a trap of ours is in none, and would never run it.
#pragma once

#include <baton/sched/platform/atomic.h>  // BATON_TSAN

#if BATON_TSAN
#include <cerrno>
#include <ctime>
#endif

namespace baton::sched::platform {

// Runs the handlers that were put off. Without ThreadSanitizer there are none, and it does nothing.
inline void run_pending_handlers() noexcept {
#if BATON_TSAN
  const int saved = errno;
  const ::timespec none{};
  ::nanosleep(&none, nullptr);
  errno = saved;
#endif
}

}  // namespace baton::sched::platform
