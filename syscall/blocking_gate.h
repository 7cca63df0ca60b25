// Public API: a limit on how many calls of one kind block a thread at once.
//
//   baton::blocking_gate queries(16);                      // what the vendor's server bears
//   int n = baton::blocking(queries, [&] { return ::vendor_query(handle); });
//
// Each blocking call keeps a thread while it lasts. Behind a gate at most `at_once` calls do. The fibers of the other
// calls are parked until there is room, first come, first served. A gate may be as narrow as 1 if no call in it waits
// for another one in the same gate. A call that waits for another one in the same gate (also a nested one) can wait for
// ever.
//
//   what waits for room   what is blocked
//   a fiber               only the fiber
//   a plain thread        the thread
//
// Thread-safe. The gate may be destroyed as soon as the last call has returned. Destroying it aborts while a call is
// inside or waits. runtime/blocking_context.h has the functions that take a context.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/pinning.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

namespace baton {

namespace detail {
class gate_entry;
struct share_of_threads {};
}  // namespace detail

struct gate_stats {
  int at_once = 0;            // what the constructor was given; of the runtime's own gates, the present width
  std::uint64_t inside = 0;   // calls under way
  std::uint64_t waiting = 0;  // fibers and threads that wait for room
  // How long the first of them has waited.
  std::chrono::nanoseconds waiting_longest{0};
  // The waits that have ended since the gate was made, including those that ended without room: their number, their
  // total length, and the longest.
  std::uint64_t waits = 0;
  std::chrono::nanoseconds waited{0};
  std::chrono::nanoseconds waited_longest{0};
};

namespace detail {

// Of all gates of the process together, also of those that are gone and of the runtime's own (files, look-ups …).
struct gate_totals {
  std::uint64_t waiting = 0;  // now
  std::uint64_t waits = 0;    // that have ended
  std::uint64_t waited_ns = 0;
};
[[nodiscard]] gate_totals read_gate_totals() noexcept;

}  // namespace detail

class blocking_gate {
 public:
  // Aborts unless at_once is at least 1.
  constexpr explicit blocking_gate(int at_once) noexcept : at_once_(at_once) {
    if (at_once < 1) [[unlikely]]
      too_narrow(at_once);
  }
  // One of the runtime's own gates. It is never wider than a quarter of the present max_threads, but at least 1. So
  // threads are left for other calls when what is behind the gate does not answer.
  constexpr blocking_gate(int at_once, detail::share_of_threads) noexcept : at_once_(at_once), shares_(true) {}
  blocking_gate(const blocking_gate&) = delete;
  blocking_gate& operator=(const blocking_gate&) = delete;
  ~blocking_gate();

  // Never switches.
  [[nodiscard]] gate_stats stats() const noexcept;

 private:
  friend class detail::gate_entry;
  struct request;

  static void too_narrow(int at_once) noexcept;  // aborts
  [[nodiscard]] int width() const noexcept { return shares_ ? share() : at_once_; }
  [[nodiscard]] int share() const noexcept;
  bool enter_or_enqueue(request& r) noexcept;
  void account(const request& r) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void give_up(request& r) noexcept;
  void leave() noexcept;

  const int at_once_;
  const bool shares_ = false;
  mutable sched::platform::spin_lock lock_;
  int inside_ ABSL_GUARDED_BY(lock_) = 0;
  std::uint64_t waiting_ ABSL_GUARDED_BY(lock_) = 0;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(lock_);
  std::uint64_t waits_ ABSL_GUARDED_BY(lock_) = 0;
  std::int64_t waited_ns_ ABSL_GUARDED_BY(lock_) = 0;
  std::int64_t waited_longest_ns_ ABSL_GUARDED_BY(lock_) = 0;
};

namespace detail {

// A place in a gate: enter() once; leave() no later than in the destructor.
class [[nodiscard]] gate_entry {
 public:
  // Another cause that may end the wait for room. The waiting fiber or thread calls both members.
  class canceller {
   public:
    // From here on w.wake(waiter::cancelled) may be called, on any thread, also within this call.
    virtual void subscribe(sched::waiter& w) noexcept = 0;
    // Afterwards it is not called any more.
    virtual void unsubscribe() noexcept = 0;

   protected:
    ~canceller() = default;
  };

  explicit gate_entry(blocking_gate& gate) noexcept : gate_(gate) {}
  ~gate_entry() { leave(); }
  gate_entry(const gate_entry&) = delete;
  gate_entry& operator=(const gate_entry&) = delete;

  // Switches. Waits for room until the deadline at the latest. The caller is inside after `signalled`, and not inside
  // after `timed_out` and `cancelled`. A deadline that has passed counts even if there is room.
  std::uint32_t enter(std::int64_t deadline_ns = sched::platform::forever_ns, canceller* cancel = nullptr) noexcept;
  // Never switches.
  void leave() noexcept {
    if (std::exchange(entered_, false)) gate_.leave();
  }
  // Returns DEADLINE_EXCEEDED, with a message that names the gate.
  [[nodiscard]] absl::Status expired() const;
  // Returns why a context ended the wait, with a message that names the gate.
  [[nodiscard]] absl::Status cancelled(const absl::Status& reason) const;

 private:
  [[nodiscard]] std::string what() const;

  blocking_gate& gate_;
  bool entered_ = false;
};

// Switches at its end. The declared call of a caller that is inside. It gives up the place within the call: no other
// call shall wait for the place while its owner waits for a P.
template <sched::stay Where, class F>
decltype(auto) call_inside(gate_entry& entry, F&& f) {
  const call_scope<Where> scope(site_of<std::remove_cvref_t<F>>);
  struct leaving {
    gate_entry& entry;
    ~leaving() { entry.leave(); }
  } const at_the_end{entry};
  return std::forward<F>(f)();
}

// What a call returns that may end without having been made: a Status for void, a StatusOr<T> for a T. A Status or a
// StatusOr stays what it is.
template <class R>
struct or_status {
  using type = absl::StatusOr<R>;
};
template <>
struct or_status<void> {
  using type = absl::Status;
};
template <>
struct or_status<absl::Status> {
  using type = absl::Status;
};
template <class T>
struct or_status<absl::StatusOr<T>> {
  using type = absl::StatusOr<T>;
};
template <class F>
using or_status_t = typename or_status<std::decay_t<std::invoke_result_t<F>>>::type;

template <sched::stay Where, class F>
or_status_t<F> call_inside_or_status(gate_entry& entry, F&& f) {
  if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
    call_inside<Where>(entry, std::forward<F>(f));
    return absl::OkStatus();
  } else {
    return call_inside<Where>(entry, std::forward<F>(f));
  }
}

inline bool enter_by(gate_entry& entry, std::int64_t deadline_ns) noexcept {
  return entry.enter(deadline_ns) == sched::waiter::signalled;
}
template <class Clock, class Duration>
bool enter_by(gate_entry& entry, const std::chrono::time_point<Clock, Duration>& when) {
  return until(when, [&](std::int64_t deadline_ns) { return enter_by(entry, deadline_ns); });
}

// Deadline: nanoseconds of CLOCK_MONOTONIC, or a time point of any clock.
template <sched::stay Where, class Deadline, class F>
or_status_t<F> call_by(blocking_gate& gate, const Deadline& deadline, F&& f) {
  gate_entry entry(gate);
  if (!enter_by(entry, deadline)) return entry.expired();
  return call_inside_or_status<Where>(entry, std::forward<F>(f));
}

template <sched::stay Where, class F>
decltype(auto) call_behind(blocking_gate& gate, F&& f) {
  gate_entry entry(gate);
  entry.enter();
  return call_inside<Where>(entry, std::forward<F>(f));
}

}  // namespace detail

// Switches. Waits for room, then calls f() as blocking(f) does, and returns what f returns.
template <class F>
decltype(auto) blocking(blocking_gate& gate, F&& f) {
  return detail::call_behind<sched::stay::anywhere>(gate, std::forward<F>(f));
}

// Switches. Does the same, but waits no longer than until the deadline, or for the timeout. Returns DEADLINE_EXCEEDED
// if f was not called; the time may have passed before the call, even if there was room. Otherwise returns what f
// returned: OK for void, a StatusOr<T> for a T, and f's own Status or StatusOr as it is. Nothing ends f early once it
// runs.
template <class Clock, class Duration, class F>
[[nodiscard]] auto blocking(blocking_gate& gate, const std::chrono::time_point<Clock, Duration>& deadline, F&& f) {
  return detail::call_by<sched::stay::anywhere>(gate, deadline, std::forward<F>(f));
}
template <class Rep, class Period, class F>
[[nodiscard]] auto blocking(blocking_gate& gate, const std::chrono::duration<Rep, Period>& timeout, F&& f) {
  return detail::call_by<sched::stay::anywhere>(gate, detail::deadline_after(timeout), std::forward<F>(f));
}

// Switches, but on the same thread from f's beginning on: pinned_blocking(f) behind a gate. The wait for room may end
// on another thread than it began on.
template <class F>
decltype(auto) pinned_blocking(blocking_gate& gate, F&& f) {
  return detail::call_behind<sched::stay::here>(gate, std::forward<F>(f));
}
template <class Clock, class Duration, class F>
[[nodiscard]] auto pinned_blocking(blocking_gate& gate, const std::chrono::time_point<Clock, Duration>& deadline,
                                   F&& f) {
  return detail::call_by<sched::stay::here>(gate, deadline, std::forward<F>(f));
}
template <class Rep, class Period, class F>
[[nodiscard]] auto pinned_blocking(blocking_gate& gate, const std::chrono::duration<Rep, Period>& timeout, F&& f) {
  return detail::call_by<sched::stay::here>(gate, detail::deadline_after(timeout), std::forward<F>(f));
}

}  // namespace baton
