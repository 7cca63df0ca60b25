// Public API: calls behind a gate, with a context that can end their wait for room.
//
//   absl::StatusOr<row> r = baton::blocking(queries, request.ctx(), [&] { return ::vendor_query(handle); });
//
// If the context is done before or during the wait, the wait ends: f is not called, and the status is the context's
// error with a message that names the gate. Once f runs, the context has no effect on it. Otherwise the result is what
// f returned: OK for void, a StatusOr<T> for a T; a Status or StatusOr from f is passed on as it is. The gate itself,
// and waits with a deadline: syscall/blocking_gate.h.
#pragma once

#include <baton/runtime/context.h>
#include <baton/syscall/blocking_gate.h>

#include <absl/status/status.h>

#include <utility>

namespace baton {

namespace detail {

// Switches. Returns OK if the caller is inside.
[[nodiscard]] absl::Status enter_gate(gate_entry& entry, const context& ctx);

template <sched::stay Where, class F>
or_status_t<F> call_unless_done(blocking_gate& gate, const context& ctx, F&& f) {
  gate_entry entry(gate);
  if (absl::Status s = enter_gate(entry, ctx); !s.ok()) return s;
  return call_inside_or_status<Where>(entry, std::forward<F>(f));
}

}  // namespace detail

// Switches. Waits for room, then calls f() as blocking(f) does.
template <class F>
[[nodiscard]] auto blocking(blocking_gate& gate, const context& ctx, F&& f) {
  return detail::call_unless_done<sched::stay::anywhere>(gate, ctx, std::forward<F>(f));
}

// Switches. The same around pinned_blocking(f): f begins, and this call returns, on one thread.
template <class F>
[[nodiscard]] auto pinned_blocking(blocking_gate& gate, const context& ctx, F&& f) {
  return detail::call_unless_done<sched::stay::here>(gate, ctx, std::forward<F>(f));
}

}  // namespace baton
