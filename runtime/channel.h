// Public API: baton::channel<T>, a queue with room for a fixed number of elements, between fibers and plain threads.
// Without room (capacity 0) a send waits for its receive.
//
//   waiter in send(), receive()        what is blocked
//   a fiber                            the fiber only
//   a plain thread                     the thread
//
// A channel is a handle: copies share one channel, which lives as long as any of them. A handle is never empty. All
// operations are const. Any number of fibers and threads may call them at once. Elements come out in the order in which
// they went in. Waiters are served in the order in which they came. What was written before a send is visible after the
// receive that got the element.
//
// close() says that nothing more will be sent. Elements that are in the channel can still be received; after them every
// receive() returns empty at once. From then on sends fail, also those that are waiting.
//
// T must be nothrow move constructible, because elements are moved under the channel's lock. A move must not use the
// channel, must not call a function that switches, and must not wait in any other way. Copies are made before the lock
// is taken.
#pragma once

#include <baton/sched/requirements.h>

#include <baton/runtime/detail/channel_core.h>
#include <baton/sched/durations.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace baton {

template <class T>
class channel {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T>,
                "a channel's element is an object type");
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "a channel's element must be nothrow move constructible: it is moved under a lock");
  static_assert(std::is_nothrow_destructible_v<T>, "a channel's element must be nothrow destructible");

 public:
  using value_type = T;

  // Makes a new channel. Throws std::bad_alloc.
  channel() : channel(0) {}
  explicit channel(std::size_t capacity) : core_(detail::channel_core::make(elements, capacity)) {}

  channel(const channel& other) noexcept : core_(other.core_) { core_->retain(); }
  channel& operator=(const channel& other) noexcept {  // NOLINT(bugprone-unhandled-self-assignment): it is
    detail::channel_core* const core = other.core_;
    core->retain();
    // Last: this may destroy the former channel, and with it an element that contains `other`.
    std::exchange(core_, core)->release();
    return *this;
  }
  ~channel() { core_->release(); }

  // Waits until there is room, or a receiver. Returns false if the channel is closed. A value that was not sent is not
  // moved from. Switches.
  bool send(T&& value) const {
    return core_->send(std::addressof(value), sched::platform::forever_ns) == channel_status::ok;
  }
  bool send(const T& value) const { return send(T(value)); }

  // Waits for an element. Returns empty if the channel is closed and drained. Switches.
  [[nodiscard]] std::optional<T> receive() const {
    std::optional<T> out;
    (void)core_->receive(&out, sched::platform::forever_ns);
    return out;
  }

  // Return ok, would_block or closed. A value that was not sent is not moved from. try_receive() empties `out` first.
  // Never switch.
  channel_status try_send(T&& value) const { return core_->try_send(std::addressof(value)); }
  channel_status try_send(const T& value) const {
    T copy(value);
    return core_->try_send(std::addressof(copy));
  }
  channel_status try_receive(std::optional<T>& out) const {
    out.reset();
    return core_->try_receive(&out);
  }

  // As send() and receive(), but wait no longer than the given time. Return ok, closed or timeout. What can be done at
  // once is done even if the time is zero or past. A value that was not sent is not moved from. The receives empty
  // `out` first. Switch.
  template <class Rep, class Period>
  channel_status send_for(T&& value, const std::chrono::duration<Rep, Period>& timeout) const {
    return core_->send(std::addressof(value), detail::deadline_after(timeout));
  }
  template <class Rep, class Period>
  channel_status send_for(const T& value, const std::chrono::duration<Rep, Period>& timeout) const {
    return send_for(T(value), timeout);
  }
  template <class Clock, class Duration>
  channel_status send_until(T&& value, const std::chrono::time_point<Clock, Duration>& when) const {
    return until(when, [&](std::int64_t ns) { return core_->send(std::addressof(value), ns); });
  }
  template <class Clock, class Duration>
  channel_status send_until(const T& value, const std::chrono::time_point<Clock, Duration>& when) const {
    return send_until(T(value), when);
  }
  template <class Rep, class Period>
  channel_status receive_for(std::optional<T>& out, const std::chrono::duration<Rep, Period>& timeout) const {
    out.reset();
    return core_->receive(&out, detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  channel_status receive_until(std::optional<T>& out, const std::chrono::time_point<Clock, Duration>& when) const {
    out.reset();
    return until(when, [&](std::int64_t ns) { return core_->receive(&out, ns); });
  }

  // Closes the channel and wakes all its waiters. Returns false if it was closed before. Never switches.
  bool close() const noexcept { return core_->close(); }

  // Return snapshots, which may be out of date by the time they arrive if others use the channel.
  [[nodiscard]] bool is_closed() const noexcept { return core_->is_closed(); }
  [[nodiscard]] std::size_t size() const noexcept { return core_->size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return core_->capacity(); }

  // `for (T& x : c)` receives until the channel is closed and drained. begin() and ++ switch. The handle must outlive
  // the iteration and must not be assigned to during it: iterators have no handle of their own.
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    [[nodiscard]] T& operator*() const noexcept { return *current_; }
    [[nodiscard]] T* operator->() const noexcept { return std::addressof(*current_); }
    iterator& operator++() {
      current_.reset();
      (void)from_->receive(&current_, sched::platform::forever_ns);
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept {
      return !i.current_.has_value();
    }

   private:
    friend class channel;
    explicit iterator(detail::channel_core* from) : from_(from) { ++*this; }
    detail::channel_core* from_;  // the handle keeps it alive
    mutable std::optional<T> current_;
  };
  [[nodiscard]] iterator begin() const { return iterator(core_); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

  // Returns true if both are handles of the same channel.
  [[nodiscard]] friend bool operator==(const channel& a, const channel& b) noexcept { return a.core_ == b.core_; }

  // For select.
  [[nodiscard]] detail::channel_core* core() const noexcept { return core_; }

 private:
  // Returns the last status of an operation that is tried again until the clock has reached `when`.
  template <class Clock, class Duration, class Operation>
  static channel_status until(const std::chrono::time_point<Clock, Duration>& when, Operation operation) {
    channel_status s = channel_status::timeout;
    detail::until(when, [&](std::int64_t ns) { return (s = operation(ns)) != channel_status::timeout; });
    return s;
  }

  static void store(void* slot, void* value) noexcept { ::new (slot) T(std::move(*static_cast<T*>(value))); }
  static void take(void* out, void* slot) noexcept {
    T* const from = std::launder(static_cast<T*>(slot));
    static_cast<std::optional<T>*>(out)->emplace(std::move(*from));
    from->~T();
  }
  static void pass(void* out, void* value) noexcept {
    static_cast<std::optional<T>*>(out)->emplace(std::move(*static_cast<T*>(value)));
  }
  static void destroy(void* slot) noexcept { std::launder(static_cast<T*>(slot))->~T(); }

  static constexpr detail::element_type elements{sizeof(T), alignof(T), &store, &take, &pass, &destroy};

  detail::channel_core* core_;
};

}  // namespace baton
