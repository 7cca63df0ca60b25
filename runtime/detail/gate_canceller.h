// Lets a context end the wait for room in a blocking_gate. Internal.
#pragma once

#include <baton/netpoll/wake_on_cancel.h>
#include <baton/syscall/blocking_gate.h>

#include <optional>

namespace baton::detail {

class gate_canceller final : public gate_entry::canceller {
 public:
  explicit gate_canceller(net::cancellation& source) noexcept : source_(source) {}
  void subscribe(sched::waiter& w) noexcept override { watch_.emplace(&source_, w); }
  void unsubscribe() noexcept override { watch_.reset(); }

 private:
  net::cancellation& source_;
  std::optional<net::wake_on_cancel> watch_;
};

}  // namespace baton::detail
