// Public API: the trap into the kernel without the C library: it neither reads nor writes errno, it is not a
// cancellation point, and the scheduler is not told.
#pragma once

#include <baton/syscall/result.h>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace baton::sys {

// The types that a system call takes: an integer, an enumeration, a pointer or nullptr.
template <class T>
concept syscall_argument = std::is_pointer_v<T> || std::is_null_pointer_v<T> ||
    ((std::is_integral_v<T> || std::is_enum_v<T>)&&sizeof(T) <= sizeof(long));

namespace detail {

template <syscall_argument T>
long word_of(T argument) noexcept {
  if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<long>(argument);
  } else {
    return static_cast<long>(argument);  // signed types are sign-extended, as in C
  }
}

// Three arguments or six. The kernel does not read those that the system call does not take.
#if defined(__x86_64__)
inline long trap3(long nr, long a, long b, long c) noexcept {
  long r;
  asm volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "cc", "memory");
  return r;
}
inline long trap6(long nr, long a, long b, long c, long d, long e, long f) noexcept {
  long r;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(r)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "cc", "memory");
  return r;
}
#elif defined(__aarch64__)
inline long trap3(long nr, long a, long b, long c) noexcept {
  register long x8 asm("x8") = nr;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "cc", "memory");
  return x0;
}
inline long trap6(long nr, long a, long b, long c, long d, long e, long f) noexcept {
  register long x8 asm("x8") = nr;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "cc", "memory");
  return x0;
}
#else
#error "baton knows the system call instruction of x86-64 and aarch64 only"
#endif

// Returns the kernel's own answer: a value, or the negative of an errno value.
template <syscall_argument... Args>
requires(sizeof...(Args) <= 6) long trap(long nr, Args... args) noexcept {
  const long words[6] = {word_of(args)...};
  if constexpr (sizeof...(Args) <= 3) {
    return trap3(nr, words[0], words[1], words[2]);
  } else {
    return trap6(nr, words[0], words[1], words[2], words[3], words[4], words[5]);
  }
}

// Makes a result of the kernel's answer.
template <class T>
result<T> result_of(long answer) noexcept {
  if (static_cast<unsigned long>(answer) > -4096UL) [[unlikely]]
    return failure(static_cast<int>(-answer));
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return static_cast<T>(answer);
  }
}

}  // namespace detail

// Makes system call `nr` (SYS_…) with up to six arguments. Never parks or migrates the caller. But if the call blocks,
// the fiber's P is blocked with it: never use it for a call that can block (use sys::syscall). Returns EINTR like any
// other error. Thread-safe, async-signal-safe. The numbers and structures are the kernel's, not the C library's.
template <syscall_argument... Args>
requires(sizeof...(Args) <= 6) result<long> raw_syscall(long nr, Args... args)
noexcept { return detail::result_of<long>(detail::trap(nr, args...)); }

}  // namespace baton::sys
