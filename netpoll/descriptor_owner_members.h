// The members of descriptor_owner and two_sided_owner. Internal to netpoll: the source of each type that owns a
// descriptor includes this file and says
//   template class descriptor_owner<its state>;
#pragma once

#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/descriptor_owner.h>

namespace baton::net {

template <class State>
void descriptor_owner<State>::closer::operator()(State* s) const noexcept {
  close_and_delete(s);
}

template <class State>
void descriptor_owner<State>::set_cancellation(const std::shared_ptr<cancellation>& c) {
  if (state_ != nullptr) state_->io.set_cancellation(c);
}

template <class State>
void descriptor_owner<State>::set_deadlines_ns(std::int64_t deadline_ns) {
  if (state_ != nullptr) state_->io.set_deadlines(deadline_ns);
}

template <class State>
void descriptor_owner<State>::close() {
  if (state_ != nullptr) (void)close_state(*state_);
}

template <class State>
int descriptor_owner<State>::release() {
  return state_ == nullptr ? -1 : release_state(*state_);
}

template <class State>
int descriptor_owner<State>::native_handle() const noexcept {
  return state_ == nullptr ? -1 : state_->io.native_handle();
}

template <class State>
void two_sided_owner<State>::set_cancellation(poll_side side, const std::shared_ptr<cancellation>& c) {
  if (this->state_ != nullptr) this->state_->io.set_cancellation(side, c);
}

template <class State>
void two_sided_owner<State>::set_deadline_ns(poll_side side, std::int64_t deadline_ns) {
  if (this->state_ != nullptr) this->state_->io.set_deadline(side, deadline_ns);
}

}  // namespace baton::net
