#include <baton/runtime/detail/signal_cancellers.h>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <cstring>
#include <new>
#include <utility>

namespace baton::detail {

void signal_cancellers::add(signal_canceller& c, signal_set signals) noexcept {
  c.wanted_ = signals;
  c.next_ = first_;
  c.link_ = &first_;
  if (first_ != nullptr) first_->link_ = &c.next_;
  first_ = &c;
}

signal_set signal_cancellers::remove(signal_canceller& c) noexcept {
  if (c.link_ == nullptr) return 0;
  *c.link_ = c.next_;
  if (c.next_ != nullptr) c.next_->link_ = c.link_;
  c.link_ = nullptr;
  return c.came_ & c.alone_;
}

signal_canceller* signal_cancellers::find(const net::cancellation* ctx) const noexcept {
  signal_canceller* c = first_;
  while (c != nullptr && &c->of_ != ctx) c = c->next_;
  return c;
}

signal_set signal_cancellers::forget(signal_set signals) noexcept {
  signal_set dropped = 0;
  for (signal_canceller* c = first_; c != nullptr; c = c->next_) {
    dropped |= c->came_ & c->alone_ & signals;
    c->came_ &= ~signals;
    c->wanted_ &= ~signals;
  }
  return dropped;
}

void signal_cancellers::count(signal_set& by_one, signal_set& by_more) const noexcept {
  for (const signal_canceller* c = first_; c != nullptr; c = c->next_) {
    by_more |= by_one & c->wanted_;
    by_one |= c->wanted_;
  }
}

void signal_cancellers::arrive(signal_set signals, signal_set by_more) noexcept {
  for (signal_canceller* c = first_; c != nullptr; c = c->next_) {
    const signal_set its = signals & c->wanted_;
    c->came_ |= its;
    c->alone_ = (c->alone_ & ~its) | (its & ~by_more);
  }
}

context_state* signal_cancellers::next_to_cancel(int& signal) noexcept {
  for (signal_canceller* c = first_; c != nullptr; c = c->next_) {
    // Without a hold the context is being destroyed. Its canceller gives the signal back when it is removed.
    if (c->came_ == 0 || !c->of_.try_hold()) continue;
    signal = __builtin_ctzll(std::exchange(c->came_, 0)) + 1;
    return &c->of_;
  }
  return nullptr;
}

absl::Status signal_cancellers::cause(int signal) noexcept {
  try {
    const char* const name = ::sigabbrev_np(signal);
    if (name == nullptr) return absl::CancelledError(absl::StrCat("signal ", signal));
    return absl::CancelledError(absl::StrCat("signal ", signal, " (SIG", name, ")"));
  } catch (const std::bad_alloc&) {
    return absl::CancelledError();
  }
}

}  // namespace baton::detail
