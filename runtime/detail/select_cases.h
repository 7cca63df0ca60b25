// The cases of a select: what on_receive(), on_send(), on_timeout(), on_done(), otherwise() and when() of select.h
// return. A case is a small object. select() fills an entry from it, and it runs its function if it was chosen.
//
// As long as a case is only passed to select(), it refers to what it was made from. own() makes it independent, for a
// selector that keeps it.
#pragma once

#include <baton/runtime/channel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/detail/select_core.h>
#include <baton/sched/durations.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace baton::detail {

template <class Case>
concept select_case = requires(std::remove_reference_t<Case>& c, select_entry& e, bool ok) {
  c.describe(e);  // may be called again after run(), for the next wait
  c.run(ok);
  c.own();
};

// For a static_assert in a branch that must not be compiled.
template <class...>
inline constexpr bool never = false;

// A placeholder for a case that would not compile, so that the static_assert is the compiler's only error.
struct no_case {
  static void describe(select_entry&) noexcept {}
  static void run(bool) noexcept {}
  static void own() noexcept {}
};

// A channel of the caller's, or a handle owned by the case.
class channel_reference {
 public:
  template <class T>
  explicit channel_reference(const channel<T>& c) noexcept : core_(c.core()) {}
  template <class T>
  explicit channel_reference(channel<T>&& c) noexcept : core_(c.core()) {
    own();
  }
  channel_reference(channel_reference&& other) noexcept
      : core_(other.core_), owned_(std::exchange(other.owned_, false)) {}
  channel_reference& operator=(channel_reference&&) = delete;
  ~channel_reference() {
    if (owned_) core_->release();
  }

  void own() noexcept {
    if (!owned_) core_->retain();
    owned_ = true;
  }
  [[nodiscard]] channel_core* core() const noexcept { return core_; }

 private:
  channel_core* core_;
  bool owned_ = false;
};

template <class T, class F>
class receive_case {
 public:
  receive_case(channel_reference c, F f) : channel_(std::move(c)), f_(std::move(f)) {}

  void describe(select_entry& e) noexcept {
    e.what = select_entry::kind::receive;
    e.channel = channel_.core();
    e.element = std::addressof(out_);
  }
  // The function may use this case again, so what was received is not left in it.
  void run(bool) {
    std::optional<T> received = std::exchange(out_, std::nullopt);
    std::invoke(f_, std::move(received));
  }
  void own() noexcept { channel_.own(); }

 private:
  channel_reference channel_;
  F f_;
  std::optional<T> out_;
};

// A value that is moved from when it is sent. A trivially copyable value is sent each time the case is chosen. Any
// other value is sent once; after that the case is never ready again.
template <class T, class F>
class send_case {
 public:
  send_case(channel_reference c, T& value, F f)
      : channel_(std::move(c)), value_(std::addressof(value)), f_(std::move(f)) {}
  send_case(send_case&& other)  // NOLINT(performance-noexcept-move-constructor): as F's and T's are
      : channel_(std::move(other.channel_)),
        value_(other.value_),
        f_(std::move(other.f_)),
        own_(std::move(other.own_)) {
    if (own_.has_value()) value_ = std::addressof(*own_);
  }

  void describe(select_entry& e) noexcept {
    if (value_ == nullptr) return;
    e.what = select_entry::kind::send;
    e.channel = channel_.core();
    e.element = value_;
  }
  void run(bool sent) {
    if (sent && own_.has_value() && !std::is_trivially_copyable_v<T>) {
      value_ = nullptr;
      own_.reset();
    }
    std::invoke(f_, sent);
  }
  void own() {
    channel_.own();
    own_.emplace(std::move(*value_));
    value_ = std::addressof(*own_);
  }

 private:
  channel_reference channel_;
  T* value_;
  F f_;
  std::optional<T> own_;
};

// Sends a copy of a value.
template <class T, class F>
class send_copy_case {
 public:
  send_copy_case(channel_reference c, const T& value, F f)
      : channel_(std::move(c)), value_(std::addressof(value)), f_(std::move(f)) {}
  send_copy_case(send_copy_case&& other)  // NOLINT(performance-noexcept-move-constructor): as F's and T's are
      : channel_(std::move(other.channel_)),
        value_(other.value_),
        f_(std::move(other.f_)),
        own_(std::move(other.own_)) {
    if (own_.has_value()) value_ = std::addressof(*own_);
  }

  void describe(select_entry& e) noexcept {
    e.what = select_entry::kind::send;
    e.channel = channel_.core();
    e.element = this;
    e.make = [](void* of) -> void* {
      auto& self = *static_cast<send_copy_case*>(of);
      // A copy that is still there was made for a wait that ended otherwise, and may be older than the value.
      return std::addressof(self.copy_.emplace(*self.value_));
    };
  }
  void run(bool sent) {
    copy_.reset();
    std::invoke(f_, sent);
  }
  void own() {
    channel_.own();
    own_.emplace(*value_);
    value_ = std::addressof(*own_);
  }

 private:
  channel_reference channel_;
  const T* value_;
  F f_;
  std::optional<T> copy_;
  std::optional<T> own_;
};

// A duration that counts from the start of the wait.
template <class F>
class timeout_case {
 public:
  timeout_case(std::int64_t ns, F f) : ns_(ns), f_(std::move(f)) {}

  void describe(select_entry& e) const noexcept {
    e.what = select_entry::kind::timeout;
    e.ns = ns_;
  }
  void run(bool) { std::invoke(f_); }
  void own() noexcept {}

 private:
  std::int64_t ns_;
  F f_;
};

// A point in time.
template <class Clock, class Duration, class F>
class deadline_case : private select_clock {
 public:
  deadline_case(const std::chrono::time_point<Clock, Duration>& when, F f)
      : select_clock{&still_to_come}, when_(when), f_(std::move(f)) {}

  void describe(select_entry& e) {
    e.what = select_entry::kind::deadline;
    e.ns = deadline_at(when_);
    if constexpr (!std::is_same_v<Clock, std::chrono::steady_clock>) e.element = static_cast<select_clock*>(this);
  }
  void run(bool) { std::invoke(f_); }
  void own() noexcept {}

 private:
  static std::int64_t still_to_come(const select_clock& of) {
    const auto& self = static_cast<const deadline_case&>(of);
    return has_come(self.when_) ? 0 : deadline_at(self.when_);
  }

  std::chrono::time_point<Clock, Duration> when_;
  F f_;
};

template <class F>
class done_case {
 public:
  done_case(const context& ctx, F f) : ctx_(std::addressof(ctx)), f_(std::move(f)) {}
  done_case(context&& ctx, F f) : own_(std::move(ctx)), f_(std::move(f)) {}

  void describe(select_entry& e) const noexcept {
    e.what = select_entry::kind::done;
    e.ctx = ctx_ != nullptr ? ctx_ : std::addressof(own_);
  }
  void run(bool) { std::invoke(f_); }
  void own() noexcept {
    if (ctx_ != nullptr) own_ = *std::exchange(ctx_, nullptr);
  }

 private:
  const context* ctx_ = nullptr;  // the caller's
  context own_;
  F f_;
};

template <class F>
class otherwise_case {
 public:
  explicit otherwise_case(F f) : f_(std::move(f)) {}

  void describe(select_entry& e) const noexcept { e.what = select_entry::kind::otherwise; }
  void run(bool) { std::invoke(f_); }
  void own() noexcept {}

 private:
  F f_;
};

template <class Case>
class when_case {
 public:
  when_case(bool enabled, Case c) : enabled_(enabled), case_(std::move(c)) {}

  void describe(select_entry& e) {
    if (enabled_) case_.describe(e);
  }
  void run(bool ok) { case_.run(ok); }
  void own() {
    if (enabled_) case_.own();
  }

 private:
  bool enabled_;
  Case case_;
};

template <class T, class F>
auto make_receive_case(channel_reference c, F f) {
  if constexpr (std::is_invocable_v<F&, std::optional<T>>) {
    return receive_case<T, F>(std::move(c), std::move(f));
  } else {
    static_assert(never<T, F>, "the function of on_receive() takes a std::optional of the channel's element");
    return no_case();
  }
}
template <template <class, class> class Case, class T, class Value, class F>
auto make_send_case(channel_reference c, Value& v, F f) {
  if constexpr (std::is_invocable_v<F&, bool>) {
    return Case<T, F>(std::move(c), v, std::move(f));
  } else {
    static_assert(never<T, F>, "the function of on_send() takes a bool: whether the value was sent");
    return no_case();
  }
}
template <class F>
auto make_timeout_case(std::int64_t ns, F f) {
  if constexpr (std::is_invocable_v<F&>) {
    return timeout_case<F>(ns, std::move(f));
  } else {
    static_assert(never<F>, "the function of on_timeout() takes no arguments");
    return no_case();
  }
}
template <class Clock, class Duration, class F>
auto make_timeout_case(const std::chrono::time_point<Clock, Duration>& when, F f) {
  if constexpr (std::is_invocable_v<F&>) {
    return deadline_case<Clock, Duration, F>(when, std::move(f));
  } else {
    static_assert(never<F>, "the function of on_timeout() takes no arguments");
    return no_case();
  }
}
template <class Context, class F>
auto make_done_case(Context&& ctx, F f) {
  if constexpr (std::is_invocable_v<F&>) {
    return done_case<F>(std::forward<Context>(ctx), std::move(f));
  } else {
    static_assert(never<F>, "the function of on_done() takes no arguments");
    return no_case();
  }
}

}  // namespace baton::detail
