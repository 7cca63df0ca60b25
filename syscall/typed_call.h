// A typed trap that may block. Internal to syscall/.
//
//   blocking_call<Nr, T>(args...)   switches: direct_call.h's call<Nr, T> inside blocking()
//   named_call<Nr, T>(args...)      switches: the same with names among the arguments, each a c_string
//
// Each system call is a call site of its own, which learns. EINTR is retried inside the declared call.
#pragma once

#include <baton/syscall/blocking.h>
#include <baton/syscall/c_string.h>
#include <baton/syscall/direct_call.h>

namespace baton::sys::detail {

template <long Nr>
inline constinit sched::call_site site_of_system_call{Nr};

template <long Nr, class T, on_eintr OnEintr = on_eintr::retry, syscall_argument... Args>
result<T> blocking_call(Args... args) noexcept {
  const baton::detail::call_scope<> scope(site_of_system_call<Nr>);
  return call<Nr, T, OnEintr>(args...);
}

inline const char* kernel_argument(const c_string& name) noexcept { return name.get(); }
template <syscall_argument T>
T kernel_argument(T value) noexcept {
  return value;
}
inline int error_of_name(const c_string& name) noexcept { return name.error(); }
template <syscall_argument T>
int error_of_name(T) noexcept {
  return 0;
}

// A name that is not a C string is an error before any call is made.
template <long Nr, class T, class... Args>
result<T> named_call(const Args&... args) noexcept {
  int error = 0;
  static_cast<void>((((error = error_of_name(args)) == 0) && ...));
  if (error != 0) return failure(error);
  return blocking_call<Nr, T>(kernel_argument(args)...);
}

}  // namespace baton::sys::detail
