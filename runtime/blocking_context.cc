// The waiter of the gate is one subscriber of the context. A context that is done when the waiter subscribes
// readies it at once, so there is one way out of the wait: r.wait() in blocking_gate.cc.
#include <baton/runtime/blocking_context.h>

#include <baton/netpoll/cancellation.h>

#include <memory>

namespace baton::detail {

namespace {

class subscription final : public gate_entry::canceller, private net::cancellation::node {
 public:
  explicit subscription(net::cancellation& source) noexcept : source_(source) {}

  void subscribe(sched::waiter& w) noexcept override {
    waiter_ = &w;
    subscribed_ = source_.subscribe(*this);
    if (!subscribed_) cancelled();
  }
  void unsubscribe() noexcept override {
    if (subscribed_) source_.unsubscribe(*this);
  }

 private:
  void cancelled() noexcept override { waiter_->wake(sched::waiter::cancelled); }

  net::cancellation& source_;
  sched::waiter* waiter_ = nullptr;
  bool subscribed_ = false;
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
