// The contexts that signals cancel (os_signals::notify_context()). Internal.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/detail/context_state.h>
#include <baton/runtime/detail/signal_actions.h>

#include <absl/status/status.h>

namespace baton::detail {

// What such a context has: the signals that cancel it. The context owns it.
class signal_canceller final : public context_source {
 public:
  // at_end(*this) is called by the destructor. Afterwards no list has it.
  using end = void(signal_canceller&);
  signal_canceller(context_state& ctx, end* at_end) noexcept : of_(ctx), at_end_(at_end) {}
  ~signal_canceller() override { at_end_(*this); }

 private:
  friend class signal_cancellers;
  context_state& of_;
  end* const at_end_;
  // Guarded by the lock of the list.
  signal_canceller* next_ = nullptr;
  signal_canceller** link_ = nullptr;  // the pointer that points to this; null: not in the list
  signal_set wanted_ = 0;
  signal_set came_ = 0;   // and the context has not been cancelled
  signal_set alone_ = 0;  // of these: no channel and no other context wanted them
};

// A list of them. Its owner's lock guards it.
class signal_cancellers {
 public:
  void add(signal_canceller& c, signal_set signals) noexcept;
  // Returns the signals that came for this context alone, and have not cancelled it. Does nothing if c is not here.
  signal_set remove(signal_canceller& c) noexcept;
  // Returns null if there is none for that context.
  [[nodiscard]] signal_canceller* find(const net::cancellation* ctx) const noexcept;
  // Returns those of the signals that came for a context alone, and have not cancelled it.
  signal_set forget(signal_set signals) noexcept;

  // Adds what is wanted to by_one, and what was in by_one already to by_more.
  void count(signal_set& by_one, signal_set& by_more) const noexcept;
  // Notes which contexts the signals are for.
  void arrive(signal_set signals, signal_set by_more) noexcept;
  // Returns a context that a signal came for, with a hold, and the signal; or null.
  [[nodiscard]] context_state* next_to_cancel(int& signal) noexcept;

  // The error of a context that the signal cancelled. Without memory it has no message.
  [[nodiscard]] static absl::Status cause(int signal) noexcept;

 private:
  signal_canceller* first_ = nullptr;
};

}  // namespace baton::detail
