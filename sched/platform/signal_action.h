// Signal handlers that run at once, also under ThreadSanitizer. ThreadSanitizer defers the handlers that sigaction()
// installs until the thread, or the fiber that it ran, calls a function of the C library that ThreadSanitizer
// intercepts. If that fiber does not run again, the signal is lost. So the runtime installs its handlers around
// ThreadSanitizer. They have no instrumentation, because they may interrupt ThreadSanitizer anywhere.
#pragma once

#include <baton/sched/platform/atomic.h>  // BATON_TSAN

#include <csignal>

// Precedes a handler and each function that the handler calls, and turns instrumentation off. Such a function calls
// nothing that ThreadSanitizer intercepts. Of other functions it calls only those that are always inlined.
#if BATON_TSAN && defined(__clang__)
#define BATON_SIGNAL_HANDLER __attribute__((disable_sanitizer_instrumentation))
#elif BATON_TSAN
#define BATON_SIGNAL_HANDLER __attribute__((no_sanitize("thread")))
#else
#define BATON_SIGNAL_HANDLER
#endif

#if BATON_TSAN
// The C library's own name for sigaction(), which ThreadSanitizer does not intercept.
extern "C" int __sigaction(int signal, const struct sigaction* action, struct sigaction* former) noexcept;
#endif

namespace baton::sched::platform {

// Does what sigaction() does. A later call may set again what this one returned as `former`.
inline int set_signal_action(int signal, const struct sigaction* action, struct sigaction* former) noexcept {
#if BATON_TSAN
  return ::__sigaction(signal, action, former);
#else
  return ::sigaction(signal, action, former);
#endif
}

}  // namespace baton::sched::platform
