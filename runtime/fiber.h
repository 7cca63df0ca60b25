// Public API: go() and spawn(), which start fibers, and baton::fiber<T>, which waits for a result.
//
//   baton::go(serve, std::move(stream));                         // runs on its own
//   baton::fiber<int> sum = baton::spawn([&] { return add(); }); // is joined
//   int total = sum.join();                                      // the value, or the exception; switches
//
// go() and spawn() may be called from fibers and from plain threads, at any time. The first call starts the runtime.
// They never switch: the new fiber runs when a processor gets to it, perhaps at once on another thread.
//
// Arguments are decay-copied, as by std::thread: the caller makes the copies, and they live in the fiber until its
// function has returned. std::invoke calls the function with them as rvalues. Use std::ref for a reference. If a copy
// throws, go() and spawn() throw the same exception and start no fiber. If there is no memory for a stack they throw
// std::bad_alloc.
#pragma once

#include <baton/sched/requirements.h>

#include <baton/runtime/detail/fiber_result.h>
#include <baton/runtime/fiber_id.h>
#include <baton/sched/closure_name.h>
#include <baton/sched/durations.h>
#include <baton/sched/spawn.h>

#include <absl/status/status.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace baton {

class context;

struct attributes {
  std::string_view name = {};  // shown in dumps, traces and messages; copied, cut after 23 bytes
  // Usable bytes, rounded up to one of these sizes: 16, 64, 256 KiB, 1 and 8 MiB. 0 means options.stack_size. More than
  // stack_size_max makes go() and spawn() throw no_stack.
  std::size_t stack_size = 0;
};

template <class T>
class fiber;

// go(), spawn(), run() and task_group::spawn() throw it when there is no stack for the fiber. what() says whether the
// stack that was asked for is too large, or memory is short.
class no_stack : public std::bad_alloc {
 public:
  explicit no_stack(const char* why) noexcept : why_(why) {}
  [[nodiscard]] const char* what() const noexcept override { return why_; }

 private:
  const char* why_;
};

namespace detail {

[[noreturn]] void throw_no_stack(std::size_t wanted);
[[noreturn]] void escaped_exception() noexcept;
[[noreturn]] void not_joinable(const char* what) noexcept;
[[nodiscard]] absl::Status await_end_unless_done(sched::fiber* f, const context& ctx);

// The function and its arguments on the fiber's stack.
template <class F, class... Args>
class closure {
 public:
  using function = F;
  using result = std::invoke_result_t<F, Args...>;
  template <class Given, class... GivenArgs>
  explicit closure(std::in_place_t, Given&& f, GivenArgs&&... args)
      : f_(std::forward<Given>(f)), args_(nothing{}, std::forward<GivenArgs>(args)...) {}
  result operator()() {
    return std::apply(
        [this](nothing&, Args&... args) -> result { return std::invoke(std::move(f_), std::move(args)...); }, args_);
  }

 private:
  F f_;  // first: see sched::fiber_start::calls_pointer
  std::tuple<nothing, Args...> args_;
};

template <class F>
class closure<F> {
 public:
  using function = F;
  using result = std::invoke_result_t<F>;
  template <class Given>
  explicit closure(std::in_place_t, Given&& given) : f_(std::forward<Given>(given)) {}
  result operator()() { return std::invoke(std::move(f_)); }

 private:
  F f_;
};

// The type of the user's callable. A callable of the runtime's own names the type that it wraps by a member type.
template <class F>
struct user_function {
  using type = F;
};
template <class F>
requires requires { typename F::wrapped_function; }
struct user_function<F> {
  using type = typename F::wrapped_function;
};

template <class C>
constexpr sched::fiber_start start_of(sched::fiber_entry entry) noexcept {
  using F = typename C::function;
  return {entry, sched::text_of_closure<typename user_function<F>::type>(),
          std::is_pointer_v<F> || std::is_member_function_pointer_v<F>};
}

template <class F, class... Args>
using closure_for = closure<std::decay_t<F>, std::decay_t<Args>...>;

template <class F, class... Args>
concept startable = std::is_constructible_v<std::decay_t<F>, F> &&
                    (std::is_constructible_v<std::decay_t<Args>, Args>&&...) &&
                    std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>;

template <class F>
concept no_attributes = !std::is_same_v<std::remove_cvref_t<F>, attributes>;

// Discards the fiber unless it is dismissed, that is unless the fiber is launched.
template <class Abandon>
class launch_guard {
 public:
  launch_guard(sched::fiber* f, Abandon abandon) noexcept : f_(f), abandon_(abandon) {}
  launch_guard(const launch_guard&) = delete;
  launch_guard& operator=(const launch_guard&) = delete;
  ~launch_guard() {
    if (f_ == nullptr) return;
    abandon_(f_);
    sched::discard_fiber(f_);
  }
  void dismiss() noexcept { f_ = nullptr; }

 private:
  sched::fiber* f_;
  Abandon abandon_;
};

template <class C>
sched::prepared_fiber prepare(const attributes& a) {
  const sched::prepared_fiber p = sched::prepare_fiber({a.name, a.stack_size}, sizeof(C), alignof(C));
  if (p.f == nullptr) [[unlikely]]
    throw_no_stack(std::max(a.stack_size, 2 * (sizeof(C) + alignof(C))));
  return p;
}

template <class C>
void detached_entry(sched::fiber*, void* where) noexcept {
  C& c = *std::launder(static_cast<C*>(where));
  try {
    static_cast<void>(c());
  } catch (...) {
    escaped_exception();
  }
  c.~C();
}

template <class C>
void joinable_entry(sched::fiber* self, void* where) noexcept {
  C& c = *std::launder(static_cast<C*>(where));
  fiber_result<typename C::result>::run(self, c);
  c.~C();
}

template <class C>
__attribute__((visibility("hidden"))) inline constexpr sched::fiber_start detached_start =
    start_of<C>(&detached_entry<C>);
template <class C>
__attribute__((visibility("hidden"))) inline constexpr sched::fiber_start joinable_start =
    start_of<C>(&joinable_entry<C>);

template <class F, class... Args>
void start_detached(const attributes& a, F&& f, Args&&... args) {
  using C = closure_for<F, Args...>;
  const sched::prepared_fiber p = prepare<C>(a);
  launch_guard guard(p.f, [](sched::fiber*) noexcept {});
  ::new (p.closure) C(std::in_place, std::forward<F>(f), std::forward<Args>(args)...);
  guard.dismiss();
  sched::launch(p.f, detached_start<C>, false);
}

template <class F, class... Args>
sched::fiber* start_joinable(const attributes& a, F&& f, Args&&... args) {
  using C = closure_for<F, Args...>;
  using result = fiber_result<typename C::result>;
  const sched::prepared_fiber p = prepare<C>(a);
  launch_guard without_result(p.f, [](sched::fiber*) noexcept {});
  result::open(p.f);
  without_result.dismiss();
  launch_guard guard(p.f, [](sched::fiber* g) noexcept { result::abandon(g); });
  ::new (p.closure) C(std::in_place, std::forward<F>(f), std::forward<Args>(args)...);
  guard.dismiss();
  sched::launch(p.f, joinable_start<C>, true);
  return p.f;
}

}  // namespace detail

// Runs f(args...) as a fiber that is not joined. Its result is dropped. An exception that escapes it is reported on
// stderr, with the fiber's id and name, and ends the process by std::terminate().
template <class F, class... Args>
requires detail::no_attributes<F> && detail::startable<F, Args...>
void go(F&& f, Args&&... args) { detail::start_detached({}, std::forward<F>(f), std::forward<Args>(args)...); }
template <class F, class... Args>
requires detail::startable<F, Args...>
void go(attributes a, F&& f, Args&&... args) {
  detail::start_detached(a, std::forward<F>(f), std::forward<Args>(args)...);
}

// A handle to a fiber that spawn() started, and to its result of type T: void, an object type that can be moved, or a
// reference. A T of up to 32 bytes is kept without an allocation.
//
// Move-only. As a plain value, it may be used by one agent at a time, whichever that is. The destructor and move
// assignment join a fiber that is still joinable, so that a function cannot leave behind fibers that use its locals.
// They switch then. They drop the result; a dropped exception is reported on stderr, once.
template <class T>
class [[nodiscard]] fiber {
  static_assert(std::is_void_v<T> || std::is_reference_v<T> || std::is_move_constructible_v<T>,
                "the result of a spawned function is moved to the one who joins");

 public:
  fiber() noexcept = default;
  fiber(fiber&& other) noexcept : f_(std::exchange(other.f_, nullptr)) {}
  fiber& operator=(fiber&& other) noexcept {
    if (this != &other) {
      finish();
      f_ = std::exchange(other.f_, nullptr);
    }
    return *this;
  }
  ~fiber() { finish(); }

  // Waits for the fiber's end. Returns its result, or rethrows its exception. Misuse: a second join, a join after
  // detach() or of an empty handle, a fiber that joins itself. Switches.
  T join() {
    if (f_ == nullptr) [[unlikely]]
      detail::not_joinable("join");
    sched::join_fiber(f_);
    return detail::fiber_result<T>::take(std::exchange(f_, nullptr));
  }

  // Wait for the fiber's end, but no longer than the given time. Return true if it has ended; join() then returns at
  // once with the result. Return false if it runs on; it can be joined, waited for or detached as before. Misuse: as
  // join(). Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool join_for(const std::chrono::duration<Rep, Period>& timeout) const {
    return ended_by(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool join_until(const std::chrono::time_point<Clock, Duration>& when) const {
    return detail::until(when, [this](std::int64_t deadline_ns) { return ended_by(deadline_ns); });
  }

  // Waits for the fiber's end, but no longer than until the context is done. Returns OK if it has ended; join() then
  // returns at once with the result. Otherwise returns the context's error, with a message that names this call; the
  // fiber runs on, and can be joined, waited for or detached as before. Returns the error, even if the fiber has ended,
  // if the context is done at the start. If the context becomes done just when the fiber ends, either may win. Misuse:
  // as join(). Switches.
  [[nodiscard]] absl::Status join(const context& ctx) const {
    if (f_ == nullptr) [[unlikely]]
      detail::not_joinable("join");
    return detail::await_end_unless_done(f_, ctx);
  }

  // Returns true if the handle names a fiber that was neither joined nor detached.
  [[nodiscard]] bool joinable() const noexcept { return f_ != nullptr; }

  // Lets the fiber run on without a join. Its result is dropped when it ends, and an exception is reported. Misuse: a
  // handle that is not joinable. Never switches.
  void detach() noexcept {
    if (f_ == nullptr) [[unlikely]]
      detail::not_joinable("detach");
    sched::fiber* const f = std::exchange(f_, nullptr);
    sched::set_result_dropper(f, &detail::fiber_result<T>::drop);
    if (!sched::detach_fiber(f)) return;
    detail::fiber_result<T>::drop(f);
    sched::release_fiber(f);
  }

  // Returns the fiber's id, or no id after join or detach.
  [[nodiscard]] fiber_id id() const noexcept { return f_ == nullptr ? fiber_id() : fiber_id(sched::id_of(f_)); }

  friend void swap(fiber& a, fiber& b) noexcept { std::swap(a.f_, b.f_); }

 private:
  template <class F, class... Args>
  requires detail::no_attributes<F> && detail::startable<F, Args...>
  friend fiber<typename detail::closure_for<F, Args...>::result> spawn(F&& f, Args&&... args);
  template <class F, class... Args>
  requires detail::startable<F, Args...>
  friend fiber<typename detail::closure_for<F, Args...>::result> spawn(attributes a, F&& f, Args&&... args);

  explicit fiber(sched::fiber* f) noexcept : f_(f) {}

  bool ended_by(std::int64_t deadline_ns) const noexcept {
    if (f_ == nullptr) [[unlikely]]
      detail::not_joinable("join");
    return sched::await_end_until(f_, deadline_ns);
  }

  void finish() noexcept {
    if (f_ == nullptr) return;
    const bool ended = sched::join_fiber_to_drop(f_);
    sched::fiber* const f = std::exchange(f_, nullptr);
    if (!ended) return;
    detail::fiber_result<T>::drop(f);
    sched::release_fiber(f);
  }

  sched::fiber* f_ = nullptr;
};

// Runs f(args...) as a fiber and returns the handle for its result.
template <class F, class... Args>
requires detail::no_attributes<F> && detail::startable<F, Args...>
    fiber<typename detail::closure_for<F, Args...>::result> spawn(F&& f, Args&&... args) {
  using result = typename detail::closure_for<F, Args...>::result;
  return fiber<result>(detail::start_joinable({}, std::forward<F>(f), std::forward<Args>(args)...));
}
template <class F, class... Args>
requires detail::startable<F, Args...> fiber<typename detail::closure_for<F, Args...>::result> spawn(attributes a,
                                                                                                     F&& f,
                                                                                                     Args&&... args) {
  using result = typename detail::closure_for<F, Args...>::result;
  return fiber<result>(detail::start_joinable(a, std::forward<F>(f), std::forward<Args>(args)...));
}

}  // namespace baton
