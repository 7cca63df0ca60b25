// The spelling of atomics for all other folders. A second implementation of this folder can replace the machine's
// atomics with simulated ones that a model checker explores. No other folder names std::atomic.
#pragma once

#include <atomic>

#if defined(__SANITIZE_THREAD__)
#define BATON_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BATON_TSAN 1
#endif
#endif
#ifndef BATON_TSAN
#define BATON_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define BATON_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BATON_ASAN 1
#endif
#endif
#ifndef BATON_ASAN
#define BATON_ASAN 0
#endif

namespace baton::sched::platform {

template <class T>
using atomic = std::atomic<T>;

namespace mo {
inline constexpr auto relaxed = std::memory_order_relaxed;
inline constexpr auto acquire = std::memory_order_acquire;
inline constexpr auto release = std::memory_order_release;
inline constexpr auto acq_rel = std::memory_order_acq_rel;
inline constexpr auto seq_cst = std::memory_order_seq_cst;
}  // namespace mo

// Orders every earlier store before every later load, in the one total order of such fences (StoreLoad; the "submit,
// then check" pairs). ThreadSanitizer does not model fences. Under it, a read-modify-write on one shared word has the
// same effect.
#if BATON_TSAN
inline atomic<unsigned> tsan_fence_word{0};
inline void full_fence() noexcept { tsan_fence_word.fetch_add(1, mo::seq_cst); }
#else
inline void full_fence() noexcept { std::atomic_thread_fence(mo::seq_cst); }
#endif

// Keeps the compiler, but not the processor, from moving memory accesses across it.
inline void compiler_fence() noexcept { std::atomic_signal_fence(mo::seq_cst); }

// Tells the core that this is a spin loop.
inline void cpu_relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace baton::sched::platform
