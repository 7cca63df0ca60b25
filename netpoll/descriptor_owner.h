// Public API: the members that all types that own a descriptor share: streams, listeners, sockets, pipes, pollables.
//
// Deadlines and contexts end calls, from another fiber or thread, too. From a deadline on, and once a context is done,
// calls fail, also if they would not have to wait; calls that already wait are ended. A deadline is a point in time,
// not a time limit of each call. None of the setters switches. They do nothing on an object that is not open.
//
// Thread-safe, except for moving and destroying an object: only its owner may do that. Destroying ends the calls that
// are under way, as close() does; moving an object requires that there are none.
#pragma once

#include <baton/netpoll/options.h>
#include <baton/netpoll/poll_descriptor.h>
#include <baton/sched/durations.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

namespace baton::net {

// Move-only. State is internal to netpoll. A default-constructed object, or one that was moved from, is not open: its
// calls fail with FAILED_PRECONDITION.
template <class State>
class descriptor_owner {
 public:
  // Both sides: reads, writes, and whatever else waits. time_point::max() removes the deadline; one in the past acts at
  // once. Any clock; rounded up, saturating. A time of a clock other than steady_clock is converted here, once. May
  // throw std::bad_alloc; the former deadlines are in force then.
  template <class Clock, class Duration>
  void set_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadlines_ns(detail::deadline_at(when));
  }
  // The same, with the deadline that far ahead of now. hours::max() removes the deadline.
  template <class Rep, class Period>
  void set_timeout(const std::chrono::duration<Rep, Period>& d) {
    set_deadlines_ns(detail::deadline_after(d));
  }

  // Once the context is done, calls fail with its error, until another context replaces it. Costs nothing per call.
  template <cancellation_source Context>
  void set_context(const Context& c) {
    set_cancellation(c.as_cancellation());
  }
  void set_cancellation(const std::shared_ptr<cancellation>& c);

  // Switches. Ends the calls that are under way, waits until they have left, and closes the descriptor. Every close()
  // returns only after that, also a second one: then no call uses the object any more. With SO_LINGER it takes as long
  // as the kernel lingers, in a declared call.
  void close();
  // Switches. As close(), but gives the number back, which then belongs to the caller and is non-blocking. Returns -1
  // if the object is not open, or if the thread has called exit() and calls are under way.
  int release();

  // The descriptor's number, which the object keeps owning; -1 if it is not open or closed.
  [[nodiscard]] int native_handle() const noexcept;
  // Returns true if the object is neither moved from nor closed.
  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }

 protected:
  descriptor_owner() noexcept = default;
  explicit descriptor_owner(std::unique_ptr<State> state) noexcept : state_(state.release()) {}
  descriptor_owner(descriptor_owner&&) noexcept = default;
  descriptor_owner& operator=(descriptor_owner&&) noexcept = default;  // Switches. Closes what was there
  // Switches. As close(). If this thread called exit(), it does not wait for calls that are under way, because the
  // fibers among them never return. It then leaves to them what they use, including the descriptor.
  ~descriptor_owner() = default;

  struct closer {
    void operator()(State* s) const noexcept;
  };
  std::unique_ptr<State, closer> state_;

 private:
  friend struct stream_access;
  friend struct test_access;
  void set_deadlines_ns(std::int64_t deadline_ns);
};

// The same with deadlines and contexts for each side: reads fail without writes, or writes without reads.
template <class State>
class two_sided_owner : public descriptor_owner<State> {
 public:
  template <class Clock, class Duration>
  void set_read_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(poll_side::read, detail::deadline_at(when));
  }
  template <class Clock, class Duration>
  void set_write_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(poll_side::write, detail::deadline_at(when));
  }
  template <class Rep, class Period>
  void set_read_timeout(const std::chrono::duration<Rep, Period>& d) {
    set_deadline_ns(poll_side::read, detail::deadline_after(d));
  }
  template <class Rep, class Period>
  void set_write_timeout(const std::chrono::duration<Rep, Period>& d) {
    set_deadline_ns(poll_side::write, detail::deadline_after(d));
  }

  // set_context() replaces the contexts of both sides.
  template <cancellation_source Context>
  void set_read_context(const Context& c) {
    set_cancellation(poll_side::read, c.as_cancellation());
  }
  template <cancellation_source Context>
  void set_write_context(const Context& c) {
    set_cancellation(poll_side::write, c.as_cancellation());
  }
  using descriptor_owner<State>::set_cancellation;
  void set_cancellation(poll_side side, const std::shared_ptr<cancellation>& c);

 protected:
  using descriptor_owner<State>::descriptor_owner;
  two_sided_owner() noexcept = default;
  two_sided_owner(two_sided_owner&&) noexcept = default;
  two_sided_owner& operator=(two_sided_owner&&) noexcept = default;
  ~two_sided_owner() = default;

 private:
  void set_deadline_ns(poll_side side, std::int64_t deadline_ns);
};

}  // namespace baton::net
