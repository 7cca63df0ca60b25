#include <baton/runtime/blocking_context.h>

#include <baton/runtime/detail/gate_canceller.h>

#include <memory>

namespace baton::detail {

absl::Status enter_gate(gate_entry& entry, const context& ctx) {
  const std::shared_ptr<net::cancellation> source = ctx.as_cancellation();
  if (source == nullptr) {
    entry.enter();
    return absl::OkStatus();
  }
  if (ctx.is_done()) return entry.cancelled(ctx.error());
  gate_canceller ended(*source);
  if (entry.enter(sched::platform::forever_ns, &ended) == sched::waiter::signalled) return absl::OkStatus();
  return entry.cancelled(ctx.error());
}

}  // namespace baton::detail
