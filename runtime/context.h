// Contexts: they tell work that its result is no longer wanted. A tree: whoever cancels a context
// cancels everything derived from it.
//
//   auto ctx = baton::with_timeout(request.ctx(), 500ms);
//   auto rows = query(ctx);              // passes it on; looks at ctx.error(), or waits on it
//
// A context is a cheap handle (one shared pointer); copies name the same context. All members may be
// called from any fiber or thread at any time. Nothing here switches but the waits, which are marked.
#pragma once

#include <baton/sched/durations.h>

#include <absl/status/status.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace baton {

namespace net {
class cancellation;
}
class context;
class cancellable_context;

namespace detail {
class context_state;
[[nodiscard]] cancellable_context derive_context(const context& parent, std::int64_t deadline_ns);
}  // namespace detail

class context {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  // The root of all contexts: never done, no deadline. A default-constructed one is the same.
  context() noexcept = default;
  [[nodiscard]] static context background() noexcept { return {}; }

  // Whether it was cancelled or its deadline has passed. Once true, it stays so.
  [[nodiscard]] bool is_done() const noexcept;

  // Ok while it is not done; then why: DEADLINE_EXCEEDED, or the cause that was given to cancel(), of
  // this context or of the one above it that was done first. Does not change any more.
  [[nodiscard]] absl::Status error() const;

  // The earliest deadline of this context and those above it.
  [[nodiscard]] std::optional<time_point> deadline() const noexcept;

  // (S) Waits until it is done. For the background that is for ever.
  void wait_done() const;

  // (S) As wait_done(), but no longer than that. Returns whether it is done.
  template <class Rep, class Period>
  bool wait_done_for(std::chrono::duration<Rep, Period> timeout) const {
    return wait_done_until_ns(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  bool wait_done_until(std::chrono::time_point<Clock, Duration> until) const {
    return detail::until(until, [this](std::int64_t ns) { return wait_done_until_ns(ns); });
  }

  // What sockets and select subscribe to; empty for the background, which is never cancelled.
  [[nodiscard]] std::shared_ptr<net::cancellation> as_cancellation() const;

  // Whether both are the same context.
  friend bool operator==(const context& a, const context& b) noexcept { return a.state_ == b.state_; }

 private:
  friend class cancellable_context;
  friend cancellable_context detail::derive_context(const context& parent, std::int64_t deadline_ns);
  explicit context(std::shared_ptr<detail::context_state> state) noexcept : state_(std::move(state)) {}
  bool wait_done_until_ns(std::int64_t deadline_ns) const;
  // Null: the background. Aborts if it is what a default-constructed cancellable_context is.
  [[nodiscard]] detail::context_state* state(const char* what) const noexcept;

  std::shared_ptr<detail::context_state> state_;
};

// A context that its holders can cancel. Dropping it cancels nothing: it is only a handle, and those
// derived from it keep it. The one above holds it weakly, so a dropped one costs nothing any more.
class cancellable_context : public context {
 public:
  // No context, until it is assigned to; so is one that was moved from. Misuse, which aborts: to use it otherwise,
  // also as a context.
  cancellable_context() noexcept : context(none()) {}
  cancellable_context(const cancellable_context&) noexcept = default;
  cancellable_context& operator=(const cancellable_context&) noexcept = default;
  cancellable_context(cancellable_context&& other) noexcept : context(std::exchange(other.state_, none())) {}
  cancellable_context& operator=(cancellable_context&& other) noexcept {
    state_.swap(other.state_);
    if (this != &other) other.state_ = none();
    return *this;
  }
  ~cancellable_context() = default;

  // Makes it and everything derived from it done, at once; then those who wait are readied, and sockets that it
  // was set on fail. (What a cancel or a deadline that is under way already has come to first is readied by that,
  // perhaps after this has returned.) The first cause wins, later calls do nothing. An ok status counts as
  // CancelledError(). Never switches; takes as long as there are contexts derived from it, but holds up nobody.
  void cancel(absl::Status cause = absl::CancelledError()) const noexcept;

 private:
  friend cancellable_context detail::derive_context(const context& parent, std::int64_t deadline_ns);
  using context::context;
  static std::shared_ptr<detail::context_state> none() noexcept;
};

// A context below `parent`: done when that is, or when it is cancelled itself. Below a parent that is
// done already it is done from the start. Out of memory: std::bad_alloc.
[[nodiscard]] cancellable_context with_cancel(const context& parent);

// As with_cancel(), and done with DEADLINE_EXCEEDED after that time, unless the parent's deadline is
// earlier anyway. A deadline that has passed makes it done from the start. A time of a clock other than
// steady_clock is converted here, once: what that clock does afterwards does not move the deadline.
template <class Rep, class Period>
[[nodiscard]] cancellable_context with_timeout(const context& parent, std::chrono::duration<Rep, Period> timeout) {
  return detail::derive_context(parent, detail::deadline_after(timeout));
}
template <class Clock, class Duration>
[[nodiscard]] cancellable_context with_deadline(const context& parent,
                                                std::chrono::time_point<Clock, Duration> deadline) {
  return detail::derive_context(parent, detail::deadline_at(deadline));
}

}  // namespace baton
