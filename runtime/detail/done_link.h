// The subscription of one wait to a context: a thread that cancels the context claims the waiter.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/sched/waiter.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace baton::detail {

// Requires: the waiter is prepared before subscribe(), and lives until unsubscribe() has returned.
class done_link final : public net::cancellation::node {
 public:
  done_link(sched::waiter& who, std::uint32_t code, std::shared_ptr<net::cancellation> to) noexcept
      : who_(who), code_(code), to_(std::move(to)) {}

  // Returns false if the context is done.
  [[nodiscard]] bool subscribe() noexcept { return to_ == nullptr || to_->subscribe(*this); }
  void unsubscribe() noexcept {
    if (to_ != nullptr) to_->unsubscribe(*this);
  }
  void cancelled() noexcept override { who_.wake(code_); }

 private:
  sched::waiter& who_;
  const std::uint32_t code_;
  const std::shared_ptr<net::cancellation> to_;  // keeps it alive if the caller's handle changes
};

}  // namespace baton::detail
