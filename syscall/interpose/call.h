// What the wrappers are made of. A wrapper is a function of this library with the assembler name of a function of the C
// library. The dynamic linker finds it first, for the program and for all its shared libraries.
//
//   BATON_WRAP(int, connect, (int fd, const sockaddr* peer, socklen_t size), (fd, peer, size))
//   BATON_WRAP_TRAP(ssize_t, write, SYS_write, (int fd, const void* from, std::size_t size), (fd, from, size))
//
// The first defines one that declares the call and goes on to the next `connect` in the order of the dynamic linker.
// The second does the same, but if the next function is the C library's own, which does nothing but a system call, it
// makes that system call itself. Processors predict badly where the first functions return to after a system call, so
// one function less saves up to 17 ns.
//
// Wrappers that do more are written out: BATON_NEXT(result, name, parameters) declares them, and next_NAME is what
// they go on to.
//
// The headers of the C library are of no use for the declarations: what they say of a function (fortified, redirected,
// never throws) differs from system to system. Only the binary interface counts here. So variadic functions have the
// fixed parameters here that their callers pass, which x86-64 and aarch64 pass in the same places.
//
// No wrapper is noexcept: a plain thread may be cancelled in the call, which unwinds the stack.
#pragma once

#include "scheduler_side.h"

#include <baton/sched/platform/atomic.h>
#include <baton/syscall/raw_syscall.h>

#include <sys/syscall.h>
#include <cerrno>
#include <cstddef>

namespace baton::interpose {

namespace mo = sched::platform::mo;

// The function that a wrapper goes on to: the sanitizer's interceptor if there is one, else the next definition after
// this library. It is looked up before main(), or by the first call if that comes before.
// 32 bytes: compilers align no object of that size further, so the entries lie in their section without gaps.
struct alignas(32) next_entry {
  sched::platform::atomic<void*> function;  // relaxed, both: they lead to code, which no thread writes
  const char* name;
  void* of_sanitizer;
  sched::platform::atomic<bool> of_libc;  // known before main(); false until then

  [[nodiscard]] void* find() noexcept;
};
static_assert(sizeof(next_entry) == 32);

template <class F>
[[nodiscard, gnu::always_inline]] inline F next_of(next_entry& entry) noexcept {
  void* function = entry.function.load(mo::relaxed);
  if (__builtin_expect(function == nullptr, 0)) function = entry.find();
  return reinterpret_cast<F>(function);
}

// What the C library makes of the kernel's answer.
[[gnu::always_inline]] inline long answered(long answer) noexcept {
  if (__builtin_expect(static_cast<unsigned long>(answer) <= -4096UL, 1)) return answer;
  errno = static_cast<int>(-answer);
  return -1;
}

template <long Nr, class... Args>
[[gnu::always_inline]] inline long trap_to(Args... args) noexcept {
  return answered(sys::detail::trap(Nr, args...));
}

// A foreign call as an object (sched/declared_call.h).
class declared {
 public:
  [[gnu::always_inline]] explicit declared(call_site& site) : counts_(begin_declared(site)) {}
  [[gnu::always_inline]] ~declared() {
    if (counts_) end_declared();
  }
  declared(const declared&) = delete;
  declared& operator=(const declared&) = delete;

 private:
  const bool counts_;
};

}  // namespace baton::interpose

#if BATON_ASAN || BATON_TSAN
// Only its address counts.
#define BATON_INTERCEPTOR(name) extern "C" __attribute__((weak)) char sanitized_##name __asm__("__interceptor_" #name);
#define BATON_INTERCEPTOR_OF(name) &sanitized_##name
#else
#define BATON_INTERCEPTOR(name)
#define BATON_INTERCEPTOR_OF(name) nullptr
#endif

// The entries of all wrappers lie side by side in a section, so that they can be looked up together.
#define BATON_NEXT(result, name, parameters)                                                      \
  extern "C" __attribute__((visibility("default"))) result wrap_##name parameters __asm__(#name); \
  BATON_INTERCEPTOR(name)                                                                         \
  __attribute__((section("baton_next_functions"), used)) constinit next_entry entry_##name{       \
      nullptr, #name, BATON_INTERCEPTOR_OF(name), false};                                         \
  [[gnu::always_inline]] inline auto* next_##name() noexcept { return next_of<decltype(&wrap_##name)>(entry_##name); }

// Of the place that called the wrapper. call: the function's name in reports.
#define BATON_SITE(call) site_of(#call, __builtin_return_address(0))

#define BATON_WRAP(result, name, parameters, arguments)     \
  BATON_NEXT(result, name, parameters)                      \
  result wrap_##name parameters {                           \
    if (!may_be_on_fiber()) return next_##name() arguments; \
    const declared call(BATON_SITE(name));                  \
    return next_##name() arguments;                         \
  }

#define BATON_WRAP_TRAP(result, name, number, parameters, arguments)                                   \
  BATON_NEXT(result, name, parameters)                                                                 \
  result wrap_##name parameters {                                                                      \
    if (!may_be_on_fiber()) return next_##name() arguments;                                            \
    const declared call(BATON_SITE(name));                                                             \
    if (entry_##name.of_libc.load(mo::relaxed)) return static_cast<result>(trap_to<number> arguments); \
    return next_##name() arguments;                                                                    \
  }
