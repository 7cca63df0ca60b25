#include <baton/runtime/blocking_context.h>

#include <baton/netpoll/wake_on_cancel.h>

#include <memory>
#include <optional>

namespace baton::detail {

namespace {

class subscription final : public gate_entry::canceller {
 public:
  explicit subscription(net::cancellation& source) noexcept : source_(source) {}
  void subscribe(sched::waiter& w) noexcept override { watch_.emplace(&source_, w); }
  void unsubscribe() noexcept override { watch_.reset(); }

 private:
  net::cancellation& source_;
  std::optional<net::wake_on_cancel> watch_;
};

}  // namespace

absl::Status enter_gate(gate_entry& entry, const context& ctx) {
  const std::shared_ptr<net::cancellation> source = ctx.as_cancellation();
  if (source == nullptr) {
    entry.enter();
    return absl::OkStatus();
  }
  if (ctx.is_done()) return entry.cancelled(ctx.error());
  subscription ended(*source);
  if (entry.enter(sched::platform::forever_ns, &ended) == sched::waiter::signalled) return absl::OkStatus();
  return entry.cancelled(ctx.error());
}

}  // namespace baton::detail
