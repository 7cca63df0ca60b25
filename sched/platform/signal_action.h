// Signal handlers that run at once also under ThreadSanitizer. That one puts the handlers of sigaction() off until the
// thread, or the fiber that it ran, calls a function of the C library that it knows; if that fiber does not run again,
// the signal is lost. So handlers of the runtime are installed past it, and are free of its instrumentation, because
// they may interrupt it anywhere.
#pragma once

#include <baton/sched/platform/atomic.h>  // BATON_TSAN

#include <csignal>

// Before a handler, and before each function that it calls: no instrumentation. Such a function calls nothing that
// ThreadSanitizer wraps, and of other functions only those that are always inlined.
#if BATON_TSAN && defined(__clang__)
#define BATON_SIGNAL_HANDLER __attribute__((disable_sanitizer_instrumentation))
#elif BATON_TSAN
#define BATON_SIGNAL_HANDLER __attribute__((no_sanitize("thread")))
#else
#define BATON_SIGNAL_HANDLER
#endif

#if BATON_TSAN
// The C library's own name for sigaction(), which ThreadSanitizer does not wrap.
extern "C" int __sigaction(int signal, const struct sigaction* action, struct sigaction* former) noexcept;
#endif

namespace baton::sched::platform {

// sigaction(). What it returns as `former` may be set again by it.
inline int set_signal_action(int signal, const struct sigaction* action, struct sigaction* former) noexcept {
#if BATON_TSAN
  return ::__sigaction(signal, action, former);
#else
  return ::sigaction(signal, action, former);
#endif
}

}  // namespace baton::sched::platform
