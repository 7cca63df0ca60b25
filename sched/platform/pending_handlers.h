// ThreadSanitizer defers a signal handler until the thread is in a function of the C library that it intercepts. A
// thread in one of the runtime's direct system calls is in none of them and would never run the handler.
#pragma once

#include <baton/sched/platform/atomic.h>  // BATON_TSAN

#if BATON_TSAN
#include <cerrno>
#include <ctime>
#endif

namespace baton::sched::platform {

// Runs the deferred handlers. Does nothing without ThreadSanitizer, which alone defers them. Every switch calls this,
// so it is an intercepted function that neither waits nor enters the kernel: time(), some 20 ns. A nanosleep() of no
// time waits for as long as the timer slack of the thread allows, 50 us.
inline void run_pending_handlers() noexcept {
#if BATON_TSAN
  const int saved = errno;
  static_cast<void>(::time(nullptr));
  errno = saved;
#endif
}

}  // namespace baton::sched::platform
