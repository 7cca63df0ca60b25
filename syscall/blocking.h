// Public API: runs a callable that may block its thread, without stopping the other fibers.
//
//   int n = baton::blocking([&] { return ::vendor_query(handle); });
//
// Each call site (each closure type) has a memory. A site that has turned out to block hands the thread's P to another
// thread *before* the call, so the other fibers run on within microseconds. A site that has turned out to be short
// keeps the P and costs a few nanoseconds. The monitor retakes the P where the prediction was wrong. sched/call_site.h
// says how a site learns.
//
// Where a library's thread-locals matter after the call (OpenSSL's error queue, a connection that belongs to its
// thread), use pinned_blocking or lock_os_thread from pinning.h.
#pragma once

#include <baton/sched/closure_name.h>
#include <baton/sched/declared_call.h>

#include <cerrno>
#include <type_traits>
#include <utility>

namespace baton {

struct will_block_t {};
struct wont_block_t {};
inline constexpr will_block_t will_block{};
inline constexpr wont_block_t wont_block{};

namespace detail {

// One per closure type. The instantiations of one template share nothing.
template <class F>
inline constinit sched::call_site site_of{sched::text_of_closure<F>()};

// The declared call as an object.
template <sched::stay Where = sched::stay::anywhere>
class [[nodiscard]] call_scope {
 public:
  explicit call_scope(sched::call_site& site) noexcept { sched::begin_call(site); }
  explicit call_scope(will_block_t) noexcept { sched::begin_blocking_call(); }
  call_scope(sched::call_site& site, wont_block_t) noexcept { sched::begin_short_call(site); }
  ~call_scope() { sched::end_call(Where); }
  call_scope(const call_scope&) = delete;
  call_scope& operator=(const call_scope&) = delete;
};

}  // namespace detail

// Switches at its end. Calls f() on this thread, from start to end, as a declared call. Returns what f returns;
// exceptions pass through. Read errno inside f (or see blocking_errno). Nested in another declared call, or outside
// fibers, it only calls f.
template <class F>
decltype(auto) blocking(F&& f) {
  const detail::call_scope<> scope(detail::site_of<std::remove_cvref_t<F>>);
  return std::forward<F>(f)();
}

// Switches. Does the same for a call that is known to block: always hands the P over at entry.
template <class F>
decltype(auto) blocking(F&& f, will_block_t) {
  const detail::call_scope<> scope(will_block);
  return std::forward<F>(f)();
}
template <class F>
decltype(auto) blocking(will_block_t, F&& f) {
  return blocking(std::forward<F>(f), will_block);
}

// Switches. Does the same for a call that is known to be short: never hands the P over at entry. If the call turns out
// to be long, call_sites() shows it: many of its calls are `retaken`.
template <class F>
decltype(auto) blocking(F&& f, wont_block_t) {
  const detail::call_scope<> scope(detail::site_of<std::remove_cvref_t<F>>, wont_block);
  return std::forward<F>(f)();
}
template <class F>
decltype(auto) blocking(wont_block_t, F&& f) {
  return blocking(std::forward<F>(f), wont_block);
}

// Switches. Does what blocking(f) does. Returns the pair of f's result and errno as f left it.
template <class F>
auto blocking_errno(F&& f) {
  const detail::call_scope<> scope(detail::site_of<std::remove_cvref_t<F>>);
  auto result = std::forward<F>(f)();
  const int error = errno;  // before the scope ends: afterwards it may be another thread's
  return std::pair{std::move(result), error};
}

}  // namespace baton
