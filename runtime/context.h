// Public API: contexts, which tell work that its result is no longer wanted. Contexts form a tree: cancelling a context
// cancels everything derived from it.
//
//   auto ctx = baton::with_timeout(request.ctx(), 500ms);
//   auto rows = query(ctx);              // passes it on; checks ctx.error(), or waits on it
//
// A context is a cheap handle (one shared pointer). Copies name the same context. All members may be called from any
// fiber or thread at any time. Only the waits switch; they are marked.
#pragma once

#include <baton/runtime/detail/context_value.h>
#include <baton/sched/durations.h>

#include <absl/status/status.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
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
[[nodiscard]] context derive_with_value(const context& parent, std::unique_ptr<context_value> value);
}  // namespace detail

class context {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  // The root of all contexts: it is never done and has no deadline. A default-constructed context is the same.
  context() noexcept = default;
  [[nodiscard]] static context background() noexcept { return {}; }

  // Returns true if the context was cancelled or its deadline has passed. Stays true from then on.
  [[nodiscard]] bool is_done() const noexcept;

  // Returns ok while the context is not done. After that, returns the reason, which no longer changes:
  // DEADLINE_EXCEEDED, or the cause given to cancel(), of this context or of the one above it that was done first.
  [[nodiscard]] absl::Status error() const;

  // Returns the earliest deadline of this context and those above it.
  [[nodiscard]] std::optional<time_point> deadline() const noexcept;

  // Returns the value that with_value<Key>() gave to this context or to the nearest one above it, or null. The value
  // lives at least as long as this context, and as the contexts derived from it. Takes time in proportion to the number
  // of values. Never switches.
  template <class Key>
  [[nodiscard]] const typename detail::context_value_type<Key>::type* value() const noexcept {
    return static_cast<const typename detail::context_value_type<Key>::type*>(find_value(&detail::context_key<Key>));
  }

  // Waits until the context is done. Waits for ever if it is the background. Switches.
  void wait_done() const;

  // As wait_done(), but wait no longer than the given time. Return true if the context is done. Switch.
  template <class Rep, class Period>
  bool wait_done_for(std::chrono::duration<Rep, Period> timeout) const {
    return wait_done_until_ns(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  bool wait_done_until(std::chrono::time_point<Clock, Duration> until) const {
    return detail::until(until, [this](std::int64_t ns) { return wait_done_until_ns(ns); });
  }

  // Returns what sockets and select subscribe to. Returns null for the background, which is never cancelled.
  [[nodiscard]] std::shared_ptr<net::cancellation> as_cancellation() const;

  // Returns true if both are the same context.
  friend bool operator==(const context& a, const context& b) noexcept { return a.state_ == b.state_; }

 private:
  friend class cancellable_context;
  friend cancellable_context detail::derive_context(const context& parent, std::int64_t deadline_ns);
  friend context detail::derive_with_value(const context& parent, std::unique_ptr<detail::context_value> value);
  explicit context(std::shared_ptr<detail::context_state> state) noexcept : state_(std::move(state)) {}
  [[nodiscard]] const void* find_value(const void* key) const noexcept;
  bool wait_done_until_ns(std::int64_t deadline_ns) const;
  // Returns null for the background. Aborts if *this is what a default-constructed cancellable_context is.
  [[nodiscard]] detail::context_state* state(const char* what) const noexcept;

  std::shared_ptr<detail::context_state> state_;
};

// A context that can be cancelled. Dropping it cancels nothing: it is only a handle, and the contexts derived from it
// keep it alive. The context above holds it weakly, so a dropped context costs nothing any more.
class cancellable_context : public context {
 public:
  // Makes an object that is not a context until it is assigned to. An object that was moved from is the same. Any other
  // use, also as a context, is misuse and aborts.
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

  // Makes this context and everything derived from it done at once. Then readies the waiters, and lets the sockets that
  // it was set on fail. (A waiter that a concurrent cancel, or a deadline, has reached first is readied by that one,
  // perhaps after this call has returned.) The first cause wins; later calls do nothing. An ok status counts as
  // CancelledError(). Never switches. Takes time in proportion to the number of contexts derived from it, but holds
  // no other agent up.
  void cancel(absl::Status cause = absl::CancelledError()) const noexcept;

 private:
  friend cancellable_context detail::derive_context(const context& parent, std::int64_t deadline_ns);
  using context::context;
  static std::shared_ptr<detail::context_state> none() noexcept;
};

// Returns a context below `parent`. It is done when the parent is, or when it is cancelled itself. Below a parent that
// is done it is done from the start. Throws std::bad_alloc.
[[nodiscard]] cancellable_context with_cancel(const context& parent);

// As with_cancel(), and done with DEADLINE_EXCEEDED after that time, unless the parent's deadline is earlier anyway. A
// deadline that has passed makes the context done from the start. A time of a clock other than steady_clock is
// converted here, once; later changes of that clock do not move the deadline.
template <class Rep, class Period>
[[nodiscard]] cancellable_context with_timeout(const context& parent, std::chrono::duration<Rep, Period> timeout) {
  return detail::derive_context(parent, detail::deadline_after(timeout));
}
template <class Clock, class Duration>
[[nodiscard]] cancellable_context with_deadline(const context& parent,
                                                std::chrono::time_point<Clock, Duration> deadline) {
  return detail::derive_context(parent, detail::deadline_at(deadline));
}

// Returns a context below `parent` that carries a value, for what belongs to a request and passes through code that
// does not know it: an id for the log, a user, a trace. Key is a type of the caller's own. The value's type is
// Key::value_type if there is one, else Key itself. A value with the same key hides the one above. Values do not
// change: a value that several fibers use must itself be fit for that. The context is done when the parent is. Throws
// std::bad_alloc, and what the value's move constructor throws.
//
//   struct request_id { using value_type = std::string; };
//   const auto ctx = baton::with_value<request_id>(parent, "7f3a");
//   if (const std::string* id = ctx.value<request_id>()) log(*id);
template <class Key>
[[nodiscard]] context with_value(const context& parent, typename detail::context_value_type<Key>::type value) {
  return detail::derive_with_value(parent, std::make_unique<detail::typed_context_value<Key>>(std::move(value)));
}

// Returns a context below `parent` that is done, with CANCELLED, when a stop is requested of the token, too. If that
// has happened it is done from the start. It ends its registration with the token when it and all contexts derived from
// it have gone; then a request that is at this context just now, on another thread, is waited for. A std::stop_callback
// of the program's on the same token must not switch. Never switches. Throws std::bad_alloc.
[[nodiscard]] context stop_context(const std::stop_token& token, const context& parent = context::background());

}  // namespace baton
