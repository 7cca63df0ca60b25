// Public API: baton::barrier, a reusable meeting point for a fixed number of agents, like std::barrier.
//
//   baton::barrier rounds(workers, [&]() noexcept { swap(old_grid, new_grid); });
//   ... in each worker:  compute(part); rounds.arrive_and_wait();      // switches
//
//   waiter in wait(), arrive_and_wait()         what is blocked
//   a fiber                                     the fiber only
//   a plain thread                              the thread
//
// A phase ends when all expected arrivals have come. The last arrival calls the completion function; then the waiters
// go on and the next phase begins. What was written before an arrival is visible in the completion function. What the
// completion function writes is visible after the wait. An exception that escapes it ends the process.
//
// A barrier may be destroyed as soon as the last wait of the last phase has returned.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace baton {

class context;

namespace detail {

struct no_completion {
  void operator()() const noexcept {}
};

// The barrier without its completion function. See barrier.cc.
class barrier_core {
 public:
  constexpr explicit barrier_core(std::ptrdiff_t expected) noexcept : expected_(expected), missing_(expected) {
    if (expected < 0) out_of_range(expected);
  }
  barrier_core(const barrier_core&) = delete;
  barrier_core& operator=(const barrier_core&) = delete;

  // Counts n arrivals; if `drop` is set, these are not expected in later phases either. Stores the current phase in
  // *phase. Returns true if the phase is complete; the caller then has to call complete().
  [[nodiscard]] bool arrive(std::ptrdiff_t n, bool drop, std::uint64_t* phase) noexcept;
  void complete() noexcept;
  // Waits until that phase has ended. Returns false if the deadline passed first. Switches.
  bool wait(std::uint64_t phase, std::int64_t deadline_ns) noexcept;
  // The same with a context. Returns its error if it was done first. Switches.
  absl::Status wait(std::uint64_t phase, const context& ctx);

 private:
  static void out_of_range(std::ptrdiff_t n) noexcept;  // aborts
  template <class Wait>
  bool wait_by(std::uint64_t phase, const Wait& wait);
  bool enqueue(sched::waiter& w, std::uint64_t phase) noexcept;

  sched::platform::spin_lock lock_;
  std::ptrdiff_t expected_ ABSL_GUARDED_BY(lock_);  // in the next phase
  std::ptrdiff_t missing_ ABSL_GUARDED_BY(lock_);   // in this one
  std::uint64_t phase_ ABSL_GUARDED_BY(lock_) = 0;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(lock_);
};

}  // namespace detail

template <class Completion = detail::no_completion>
class barrier {
  static_assert(std::is_invocable_v<Completion&>, "the completion function takes no arguments");

 public:
  // Names the phase of an arrival. Good for one wait.
  class [[nodiscard]] arrival_token {
   public:
    arrival_token(arrival_token&&) noexcept = default;
    arrival_token& operator=(arrival_token&&) noexcept = default;

   private:
    friend class barrier;
    explicit arrival_token(std::uint64_t phase) noexcept : phase_(phase) {}
    std::uint64_t phase_;
  };

  // Aborts if `expected` is negative.
  constexpr explicit barrier(std::ptrdiff_t expected, Completion f = Completion())
      : core_(expected), f_(std::move(f)) {}
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max(); }

  // Counts n arrivals at once. Does not wait. The last arrival switches if the completion function does. Aborts if n is
  // not positive, or greater than the number of arrivals that are missing.
  arrival_token arrive(std::ptrdiff_t n = 1) noexcept { return arrival_token(arrive_as(n, false)); }

  // Waits until the phase of that arrival has ended. Switches.
  void wait(arrival_token&& token) const noexcept { (void)core_.wait(token.phase_, sched::platform::forever_ns); }

  // As wait(), but wait no longer than the given time. Return false if it passed first; the arrival still counts, and
  // the token can be waited for again. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const arrival_token& token, const std::chrono::duration<Rep, Period>& timeout) const {
    return core_.wait(token.phase_, detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(const arrival_token& token,
                                const std::chrono::time_point<Clock, Duration>& when) const {
    return detail::until(when, [&](std::int64_t ns) { return core_.wait(token.phase_, ns); });
  }

  // As wait(), but waits no longer than until the context is done. Returns OK if the phase has ended. Otherwise returns
  // the context's error, with a message that names this call; the arrival still counts, and the token can be waited for
  // again. Returns the error, even if the phase has ended, if the context is done at the start. If the context becomes
  // done just when the phase ends, either may win. Switches.
  [[nodiscard]] absl::Status wait(const arrival_token& token, const context& ctx) const {
    return core_.wait(token.phase_, ctx);
  }

  // Does the same as wait(arrive()). Switches.
  void arrive_and_wait() noexcept { wait(arrive()); }

  // Arrives for this phase and is not expected in later ones. Switches only if it is the last arrival and the
  // completion function switches.
  void arrive_and_drop() noexcept { (void)arrive_as(1, true); }

 private:
  std::uint64_t arrive_as(std::ptrdiff_t n, bool drop) noexcept {
    std::uint64_t phase = 0;
    if (core_.arrive(n, drop, &phase)) {
      f_();
      core_.complete();
    }
    return phase;
  }

  mutable detail::barrier_core core_;
  [[no_unique_address]] Completion f_;
};

}  // namespace baton
