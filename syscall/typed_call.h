// A typed trap that may block. Internal to syscall/.
//
//   blocking_call<Nr, T>(args...)   (S) direct_call.h's call<Nr, T> inside blocking()
//
// Each system call is a call site of its own, which learns. EINTR is retried inside the declared call.
#pragma once

#include <baton/syscall/blocking.h>
#include <baton/syscall/direct_call.h>

namespace baton::sys::detail {

template <long Nr>
inline constinit sched::call_site site_of_system_call{Nr};

template <long Nr, class T, on_eintr OnEintr = on_eintr::retry, syscall_argument... Args>
result<T> blocking_call(Args... args) noexcept {
  const baton::detail::call_scope<> scope(site_of_system_call<Nr>);
  return call<Nr, T, OnEintr>(args...);
}

}  // namespace baton::sys::detail
