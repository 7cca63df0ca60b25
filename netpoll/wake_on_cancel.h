// Lets a cancellation end the wait of a sched::waiter. Internal; users have context_option and set_context().
//
//   w.prepare(...); publish w;  wake_on_cancel watch(source, w);  w.wait(deadline);  watch.end();
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/sched/waiter.h>

namespace baton::net {

class wake_on_cancel final : private cancellation::node {
 public:
  // Once the source is done, claims w with waiter::cancelled and readies its agent; does so at once if the source is
  // already done. Null source: never. Requires: w is prepared, and the caller is the agent that waits.
  wake_on_cancel(cancellation* source, sched::waiter& w) noexcept : waiter_(w) {
    if (source == nullptr) return;
    if (source->subscribe(*this)) {
      source_ = source;
    } else {
      cancelled();
    }
  }
  ~wake_on_cancel() { end(); }
  wake_on_cancel(const wake_on_cancel&) = delete;
  wake_on_cancel& operator=(const wake_on_cancel&) = delete;

  // Requires: w is not destroyed yet. Afterwards the cancellation does not touch w.
  void end() noexcept {
    if (source_ != nullptr) source_->unsubscribe(*this);
    source_ = nullptr;
  }

 private:
  void cancelled() noexcept override { waiter_.wake(sched::waiter::cancelled); }

  sched::waiter& waiter_;
  cancellation* source_ = nullptr;
};

}  // namespace baton::net
