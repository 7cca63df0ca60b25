// What all waits with a context have in common. Internal.
#pragma once

#include <baton/netpoll/wake_on_cancel.h>
#include <baton/runtime/context.h>
#include <baton/sched/waiter.h>
#include <baton/syscall/status.h>

#include <absl/status/status.h>

#include <cstdint>
#include <memory>

namespace baton::detail {

// Returns OK if attempt(wait) returns true. Does not call it if the context is done. wait(w) waits for the outcome of a
// waiter that is prepared and published, but no longer than until the context is done; the outcome is cancelled then.
// An attempt whose wait was ended so takes back what it has published, and returns false. What is returned then is the
// context's error, with a message that begins with `what`. Switches.
template <class Attempt>
[[nodiscard]] absl::Status unless_done(const context& ctx, const char* what, const Attempt& attempt) {
  const context keep = ctx;  // the caller's handle may be assigned to during the wait
  const std::shared_ptr<net::cancellation> source = keep.as_cancellation();
  const auto wait = [&source](sched::waiter& w) -> std::uint32_t {
    const net::wake_on_cancel watch(source.get(), w);
    return w.wait();
  };
  if (!keep.is_done() && attempt(wait)) return absl::OkStatus();
  return status_for_reason(keep.error(), what);
}

}  // namespace baton::detail
