// Public API: baton::timer, after_func() and after(): something that happens once, at a point in time.
//
//   baton::timer give_up(5s);
//   baton::select(baton::on_receive(answers, …), baton::on_receive(give_up.fired(), …));
//
//   baton::timer flush = baton::after_func(1s, [&] { … });     // in a fiber of its own
//   …
//   flush.reset(1s);                                          // not yet
//
// A timer is stopped when it goes out of scope; detach() lets it go on. No member waits or switches. Several fibers and
// threads may call stop(), reset() and fired() at once. Moving and destroying a timer are for one agent at a time, as
// with any object.
//
// After stop() or reset() nothing stale comes any more: a time that has fired is taken back if it has not been
// received. The return value of both says exactly what has become of it.
#pragma once

#include <baton/runtime/channel.h>
#include <baton/runtime/detail/timer_state.h>
#include <baton/runtime/fiber.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/lock.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <new>
#include <type_traits>
#include <utility>

namespace baton {

class timer;
template <class Rep, class Period, class F>
[[nodiscard]] timer after_func(const std::chrono::duration<Rep, Period>& d, F&& f);

class [[nodiscard]] timer {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  // Fires when that time has passed; hours::max() means never. A timer whose fired() is not called costs only a reading
  // of the clock: the first fired() makes the channel, and sets the timer.
  template <class Rep, class Period>
  explicit timer(const std::chrono::duration<Rep, Period>& d) : when_ns_(detail::deadline_after(d)) {}

  // A timer that was moved from is as a stopped timer.
  timer(timer&& other) noexcept : when_ns_(std::exchange(other.when_ns_, stopped)), state_(other.give_up_state()) {}
  timer& operator=(timer&& other) noexcept {
    if (this != &other) {
      drop();
      when_ns_ = std::exchange(other.when_ns_, stopped);
      state_.store(other.give_up_state(), sched::platform::mo::relaxed);
    }
    return *this;
  }
  ~timer() { drop(); }

  // Returns the channel into which the time comes when the timer fires. The channel is never closed, even if the timer
  // is stopped or destroyed. It is always the same one, also after a reset(). For a timer of after_func() it is a
  // channel into which nothing comes. Throws std::bad_alloc.
  [[nodiscard]] channel<time_point> fired() const;

  // Returns true if the timer was pending: the time has not been received, and will not be, even if it has passed.
  // Returns false if the timer was stopped before, or the time has been received, or (after_func) the fiber has been
  // started; that fiber may still run.
  bool stop() noexcept;

  // Makes the timer fire that much later than now, whether it is stopped, fired or neither. Returns what stop() would
  // return. Throws std::bad_alloc; the timer is stopped then.
  template <class Rep, class Period>
  bool reset(const std::chrono::duration<Rep, Period>& d) {
    return reset_ns(detail::saturated_ns(d));
  }

  // Lets the timer go on without this object, which is as a stopped timer from then on.
  void detach() noexcept;

 private:
  template <class Rep, class Period, class F>
  friend timer after_func(const std::chrono::duration<Rep, Period>& d, F&& f);

  static constexpr std::int64_t stopped = 0;

  explicit timer(detail::timer_state* adopted) noexcept : state_(adopted) {}
  detail::timer_state* give_up_state() noexcept {
    detail::timer_state* const s = state_.load(sched::platform::mo::relaxed);
    state_.store(nullptr, sched::platform::mo::relaxed);
    return s;
  }
  void drop() noexcept {
    if (detail::timer_state* const s = state_.load(sched::platform::mo::relaxed)) s->drop();
  }
  bool reset_ns(std::int64_t ns);

  // A timer without a state is only its deadline. The lock guards the deadline, and that the state is made from it.
  mutable sched::platform::spin_lock lock_;
  std::int64_t when_ns_ = stopped;
  mutable sched::platform::atomic<detail::timer_state*> state_{nullptr};
};

namespace detail {

template <class F>
class function_timer final : public timer_state {
 public:
  template <class Given>
  explicit function_timer(Given&& f) : f_(std::forward<Given>(f)) {}

 private:
  // Keeps the function alive until the fiber has ended.
  class references {
   public:
    references(function_timer* to, std::uint32_t n) noexcept : to_(to), n_(n) {}
    references(references&& other) noexcept : to_(std::exchange(other.to_, nullptr)), n_(other.n_) {}
    references& operator=(references&&) = delete;
    ~references() {
      if (to_ != nullptr) to_->release(n_);
    }
    void call() const { std::invoke(to_->f_); }

   private:
    function_timer* to_;
    std::uint32_t n_;
  };

  struct task {
    using wrapped_function = F;
    references to;
    bool calls;
    void operator()() const {
      if (calls) to.call();
    }
  };
  using task_closure = closure_for<task>;

  bool get_ready(occasion& o) noexcept override {
    o.fiber = sched::prepare_fiber({}, sizeof(task_closure), alignof(task_closure));
    return o.fiber.f != nullptr;
  }
  void finish(occasion& o, std::uint32_t kept) noexcept override {
    if (kept == 0) {
      this->retain();
      kept = 1;
    }
    in_fiber(o, {references(this, kept), true});
  }
  void let_go(occasion& o, std::uint32_t kept) noexcept override { in_fiber(o, {references(this, kept), false}); }
  static void in_fiber(occasion& o, task&& t) noexcept {
    const sched::prepared_fiber p = std::exchange(o.fiber, {});
    ::new (p.closure) task_closure(std::in_place, std::move(t));
    sched::launch(p.f, detached_start<task_closure>, false);
  }

  F f_;
};

}  // namespace detail

// Calls f() in a fiber of its own when that time has passed. (If there is no memory for the fiber then, it does so as
// soon as there is.) After a reset() it calls f() again, even while the former call runs. Stopping does not wait for a
// call that runs. f may be move-only. It is destroyed with the timer, or after its last call. An exception that escapes
// it ends the process, as with go().
template <class Rep, class Period, class F>
timer after_func(const std::chrono::duration<Rep, Period>& d, F&& f) {
  if constexpr (std::is_invocable_v<std::decay_t<F>&>) {
    timer t(new detail::function_timer<std::decay_t<F>>(std::forward<F>(f)));
    const std::int64_t ns = detail::saturated_ns(d);
    t.state_.load(sched::platform::mo::relaxed)->start(detail::deadline_after_ns(ns), ns <= 0);
    return t;
  } else {
    static_assert(std::is_invocable_v<std::decay_t<F>&>, "the function of after_func takes no arguments");
    return timer(d);
  }
}

// Returns a channel into which the time comes once, when that time has passed. The timer behind it cannot be stopped:
// it is kept until then, even if the channel is dropped.
template <class Rep, class Period>
[[nodiscard]] channel<timer::time_point> after(const std::chrono::duration<Rep, Period>& d) {
  timer t(d);
  channel<timer::time_point> c = t.fired();
  t.detach();
  return c;
}

}  // namespace baton
