// What the sanitizers must be told at each switch. All of it compiles to nothing without them.
//
// AddressSanitizer: before a switch, start_switch gets the *target's* stack, and the place where to keep the fake stack
// of the leaving side (null on a fiber's last switch, which frees it). After the switch, finish_switch gets the fake
// stack of the side that runs again.
// ThreadSanitizer: each fiber has a context of its own. The switch is told inline, right before the jump, so that the
// shadow call stack stays balanced. Switching synchronises, as it does on one thread.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/pending_handlers.h>

#include <cstddef>

#if BATON_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if BATON_TSAN
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}
#endif

namespace baton::sched::sanitizer {

// Whether start_switch() must be told the bounds of native stacks.
inline constexpr bool wants_stack_bounds = BATON_ASAN != 0;

inline void start_switch([[maybe_unused]] void** keep_fake_stack, [[maybe_unused]] const void* target_bottom,
                         [[maybe_unused]] std::size_t target_size, [[maybe_unused]] void* target_tsan) noexcept {
#if BATON_ASAN
  __sanitizer_start_switch_fiber(keep_fake_stack, target_bottom, target_size);
#endif
#if BATON_TSAN
  // The sanitizer keeps a handler that it has put off with the fiber that the signal met: that fiber may not run again.
  platform::run_pending_handlers();
  __tsan_switch_to_fiber(target_tsan, 0);
#endif
}

inline void finish_switch([[maybe_unused]] void* fake_stack) noexcept {
#if BATON_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

// For a stack that no fiber runs on any more: frames that never returned have left poison behind.
inline void forget_stack([[maybe_unused]] void* bottom, [[maybe_unused]] std::size_t size) noexcept {
#if BATON_ASAN
  __asan_unpoison_memory_region(bottom, size);
#endif
}

inline void* current_tsan_fiber() noexcept {
#if BATON_TSAN
  return __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}

inline void* create_tsan_fiber() noexcept {
#if BATON_TSAN
  return __tsan_create_fiber(0);
#else
  return nullptr;
#endif
}

inline void destroy_tsan_fiber([[maybe_unused]] void* f) noexcept {
#if BATON_TSAN
  if (f != nullptr) __tsan_destroy_fiber(f);
#endif
}

}  // namespace baton::sched::sanitizer
