// Public API: the trap into the kernel without the C library: it neither reads nor writes errno, it is not a
// cancellation point, and the scheduler is not told.
#pragma once

#include <baton/sched/platform/trap.h>
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

// Returns the kernel's own answer: a value, or the negative of an errno value.
template <syscall_argument... Args>
requires(sizeof...(Args) <= 6) long trap(long nr, Args... args) noexcept {
  const long words[6] = {word_of(args)...};
  if constexpr (sizeof...(Args) <= 3) {
    return sched::platform::trap3(nr, words[0], words[1], words[2]);
  } else {
    return sched::platform::trap6(nr, words[0], words[1], words[2], words[3], words[4], words[5]);
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
