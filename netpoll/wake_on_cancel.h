// What lets a cancellation end the wait of a sched::waiter. Internal; context_option and set_context() are for
// users.
//
//   w.prepare(...); publish w;  wake_on_cancel watch(source, w);  w.wait(deadline);  watch.end();
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/sched/waiter.h>

namespace baton::net {

class wake_on_cancel final : private cancellation::node {
 public:
  // Claims w with waiter::cancelled, and readies its agent, once the source is done; at once if it is so
  // already. Null: never. After w's prepare(), by the agent that waits.
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

  // Before w is destroyed: afterwards nothing of this touches it.
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
