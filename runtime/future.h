// Public API: baton::promise, future, shared_future, packaged_task and async(), like their namesakes in std. A wait
// blocks the fiber (or the plain thread), never a fiber's thread.
//
//   baton::future<int> sum = baton::async([&] { return add(); });  // in a fiber
//   int total = sum.get();                                         // the value, or the exception; switches
//
// Names, semantics and exceptions are those of std: std::future_error with a std::future_errc, std::future_status,
// std::launch. This differs:
//   - What std leaves undefined for an object without a state throws future_error with no_state.
//   - async() without a policy, or with both, starts a fiber. With no memory for its stack it throws no_stack, which is
//     a std::bad_alloc.
//   - Two set_value() at once: the second throws promise_already_satisfied, also if the construction of the first one's
//     value throws then.
//   - set_value_at_thread_exit, set_exception_at_thread_exit and make_ready_at_thread_exit are left out: fibers share
//     threads.
//
// A promise sets, a future gets; what was written before the set is visible after the wait that it ended. Each object
// is for one agent at a time, whichever that is. Copies of a shared_future may be used at once, and so may a promise
// and its future. A promise may be destroyed as soon as the wait for its future has returned, even if the set_value()
// that ended it has not. Setting never switches.
#pragma once

#include <baton/runtime/detail/future_state.h>
#include <baton/runtime/fiber.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/clock.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>

namespace baton {

using std::future_errc;
using std::future_error;
using std::future_status;
using std::launch;

template <class T>
class future;
template <class T>
class shared_future;
template <class T>
class promise;
template <class Signature>
class packaged_task;

namespace detail {

// A result that can be kept: void, a reference to an object, or an object.
template <class T>
concept future_value = std::is_void_v<T> || std::is_lvalue_reference_v<T> ||
    (std::is_object_v<T> && !std::is_array_v<T> && std::is_destructible_v<T>);

struct future_access {
  template <class T>
  [[nodiscard]] static future<T> make(state_handle<future_state<T>> s) noexcept {
    return future<T>(std::move(s));
  }
  template <class Future>
  [[nodiscard]] static future_core& core(const Future& f) {
    return *f.state_;
  }
};

// What future and shared_future have in common.
template <class T>
class future_base {
  static_assert(future_value<T>, "a future's value is void, an lvalue reference, or an object that is no array");

 public:
  // Returns true if there is a state: false after a default construction, a move, share(), or a future's get().
  [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(state_); }

  // Returns true if get() would return at once. Returns false for a deferred function that no agent has begun. Never
  // switches.
  [[nodiscard]] bool is_ready() const { return (*state_).is_ready(); }

  // Waits until there is a result. Runs a deferred function that no agent has begun. Switches.
  void wait() const { (*state_).wait(); }

  // As wait(), but wait no longer than the given time. Return future_status::ready, or timeout if the time passed
  // first. Return deferred, without a wait, for a deferred function that no agent has begun. Switch.
  template <class Rep, class Period>
  [[nodiscard]] std::future_status wait_for(const std::chrono::duration<Rep, Period>& timeout) const {
    if ((*state_).is_deferred()) return std::future_status::deferred;
    return status(state_.get()->wait_deadline(deadline_after(timeout)));
  }
  template <class Clock, class Duration>
  [[nodiscard]] std::future_status wait_until(const std::chrono::time_point<Clock, Duration>& when) const {
    if ((*state_).is_deferred()) return std::future_status::deferred;
    return status(until(when, [this](std::int64_t ns) { return state_.get()->wait_deadline(ns); }));
  }

 protected:
  using handle = state_handle<future_state<T>>;
  future_base() noexcept = default;
  explicit future_base(handle s) noexcept : state_(std::move(s)) {}
  ~future_base() = default;
  future_base(const future_base&) noexcept = default;
  future_base(future_base&&) noexcept = default;
  future_base& operator=(const future_base&) noexcept = default;
  future_base& operator=(future_base&&) noexcept = default;

  handle state_;

 private:
  friend future_access;
  static std::future_status status(bool ready) noexcept {
    return ready ? std::future_status::ready : std::future_status::timeout;
  }
};

}  // namespace detail

// The result of a promise, a packaged_task or an async(), which one agent fetches, once.
//
// Move-only. The destructor and move assignment do not wait, unless the future is the last of a function that async()
// runs in a fiber. Then they wait for that function's end, and switch. An exception that no caller has fetched is
// dropped.
template <class T>
class [[nodiscard]] future : public detail::future_base<T> {
 public:
  future() noexcept = default;
  future(future&&) noexcept = default;
  future& operator=(future&&) noexcept = default;

  // Waits, and returns the value, or throws the exception. The future has no state afterwards. Throws future_error:
  // no_state, or broken_promise. Switches.
  T get() {
    static_cast<void>(*this->state_);
    const typename future::handle mine = std::move(this->state_);
    mine.get()->wait();
    return mine.get()->take();
  }

  // Hands the state over to a shared_future.
  [[nodiscard]] shared_future<T> share() noexcept { return shared_future<T>(std::move(*this)); }

 private:
  friend detail::future_access;
  friend shared_future<T>;
  explicit future(typename future::handle s) noexcept : detail::future_base<T>(std::move(s)) {}
};

// A result that any number of agents fetch, each with a copy of its own. The last copy waits as a future does.
template <class T>
class [[nodiscard]] shared_future : public detail::future_base<T> {
 public:
  shared_future() noexcept = default;
  shared_future(future<T>&& other) noexcept  // NOLINT(google-explicit-constructor): as std's
      : detail::future_base<T>(std::move(other.state_)) {}

  // Waits, and returns a reference to the value (nothing, for void), or throws the exception. The reference is good
  // while a copy of this exists. Throws future_error: no_state, or broken_promise. Switches.
  std::conditional_t<std::is_void_v<T>, void, std::add_lvalue_reference_t<const T>> get() const {
    this->wait();
    return this->state_.get()->look();
  }
};

// The side that sets the result. Move-only. The destructor, and an assignment, of a promise that has set nothing breaks
// it: the future gets future_error with broken_promise.
template <class T>
class promise {
  static_assert(detail::future_value<T>,
                "a promise's value is void, an lvalue reference, or an object that is no array");
  struct none {};
  using object = std::conditional_t<std::is_object_v<T>, T, none>;
  using referred = std::conditional_t<std::is_reference_v<T>, T, none&>;

 public:
  // Throw std::bad_alloc, or what the allocator throws.
  promise() : producer_(new detail::future_state<T>) {}
  template <class Allocator>
  promise(std::allocator_arg_t, const Allocator& a)
      : producer_(detail::allocated_future_state<T, Allocator>::make(a)) {}
  promise(promise&&) noexcept = default;
  promise& operator=(promise&&) noexcept = default;
  void swap(promise& other) noexcept { producer_.swap(other.producer_); }
  friend void swap(promise& a, promise& b) noexcept { a.swap(b); }

  // Throws future_error: no_state, or future_already_retrieved.
  [[nodiscard]] future<T> get_future() { return detail::future_access::make<T>(producer_.for_future()); }

  // Set the result and wake all waiters. Throw future_error: no_state, or promise_already_satisfied. If the copy or the
  // move of the value throws, nothing is set. Never switch, unless that constructor does.
  void set_value(const object& value) requires std::is_object_v<T> { (*producer_).store(value); }
  void set_value(object&& value) requires std::is_object_v<T> { (*producer_).store(std::move(value)); }
  void set_value(referred value) requires std::is_reference_v<T> { (*producer_).store(value); }
  void set_value() requires std::is_void_v<T> { (*producer_).store(); }
  // Misuse: a null exception_ptr.
  void set_exception(std::exception_ptr e) { (*producer_).store_exception(std::move(e)); }

 private:
  detail::producer<T> producer_;
};

// A function whose result goes into a future. Move-only; so may the function be.
template <class R, class... Args>
class packaged_task<R(Args...)> {
 public:
  // Has no function and no state.
  packaged_task() noexcept = default;
  // Throws std::bad_alloc, or what the construction of F throws.
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, packaged_task> &&
           std::is_invocable_r_v<R, std::decay_t<F>&, Args...>) explicit packaged_task(F&& f)
      : producer_(new detail::future_state<R>),
        function_(std::make_unique<holder<std::decay_t<F>>>(std::forward<F>(f))) {}
  packaged_task(packaged_task&&) noexcept = default;
  packaged_task& operator=(packaged_task&& other) noexcept {
    packaged_task(std::move(other)).swap(*this);
    return *this;
  }
  ~packaged_task() = default;
  void swap(packaged_task& other) noexcept {
    producer_.swap(other.producer_);
    function_.swap(other.function_);
  }
  friend void swap(packaged_task& a, packaged_task& b) noexcept { a.swap(b); }

  [[nodiscard]] bool valid() const noexcept { return producer_.valid(); }

  // Throws future_error: no_state, or future_already_retrieved.
  [[nodiscard]] future<R> get_future() { return detail::future_access::make<R>(producer_.for_future()); }

  // Calls the function, and sets what it returns or throws. Throws future_error, and does not call it: no_state, or
  // promise_already_satisfied. Switches if the function does.
  void operator()(Args... args) {
    (*producer_).run([&]() -> R { return function_->call(std::forward<Args>(args)...); });
  }

  // Makes a new state for the same function, to be called again. Throws future_error with no_state, or std::bad_alloc.
  void reset() {
    static_cast<void>(*producer_);
    producer_ = detail::producer<R>(new detail::future_state<R>);
  }

 private:
  struct callable {
    callable() noexcept = default;
    callable(const callable&) = delete;
    callable& operator=(const callable&) = delete;
    virtual ~callable() = default;
    virtual R call(Args... args) = 0;
  };
  template <class F>
  struct holder final : callable {
    template <class Given>
    explicit holder(Given&& given) : f(std::forward<Given>(given)) {}
    R call(Args... args) override {
      if constexpr (std::is_void_v<R>) {
        static_cast<void>(std::invoke(f, std::forward<Args>(args)...));
      } else {
        return std::invoke(f, std::forward<Args>(args)...);
      }
    }
    F f;
  };

  detail::producer<R> producer_;
  std::unique_ptr<callable> function_;  // destroyed before a waiter learns of the broken promise
};

namespace detail {
// The signature that a packaged_task deduces from the call operator of a class.
template <class Operator>
struct call_signature;
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...)> {
  using type = R(Args...);
};
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...) const> {
  using type = R(Args...);
};
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...)&> {
  using type = R(Args...);
};
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...) const&> {
  using type = R(Args...);
};
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...) noexcept> {
  using type = R(Args...);
};
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...) const noexcept> {
  using type = R(Args...);
};
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...)& noexcept> {
  using type = R(Args...);
};
template <class F, class R, class... Args>
struct call_signature<R (F::*)(Args...) const& noexcept> {
  using type = R(Args...);
};

// Not the closure's member: clang 14 looks at the return type of an overload before it looks at the constraints.
template <class F, class... Args>
using async_result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
}  // namespace detail

template <class R, class... Args>
packaged_task(R (*)(Args...)) -> packaged_task<R(Args...)>;
template <class F>
packaged_task(F) -> packaged_task<typename detail::call_signature<decltype(&F::operator())>::type>;

// Runs f(args...), and returns the future of its result. The function and the arguments are decay-copied, as by
// spawn(), and destroyed before the future is ready.
//
//   launch::async      in a fiber of its own, which ends its fiber_locals before the future is ready
//   launch::deferred   in the first agent that waits, with no deadline, or gets; never, if none does
//   both, or no policy as launch::async
//
// Throws no_stack or std::bad_alloc, or what a copy throws; nothing runs then. Misuse: a policy with neither. Never
// switches.
template <class F, class... Args>
requires detail::startable<F, Args...> future<detail::async_result<F, Args...>> async(std::launch policy, F&& f,
                                                                                      Args&&... args) {
  using C = detail::closure_for<F, Args...>;
  using R = typename C::result;
  using handle = detail::state_handle<detail::future_state<R>>;
  if ((policy & std::launch::async) != std::launch{}) {
    using S = detail::async_state<C>;
    auto s = std::make_unique<S>(std::in_place, std::forward<F>(f), std::forward<Args>(args)...);
    s->start();
    return detail::future_access::make<R>(handle(s.release()));
  }
  if ((policy & std::launch::deferred) == std::launch{}) [[unlikely]]
    detail::no_launch_policy();
  using S = detail::deferred_state<C>;
  return detail::future_access::make<R>(handle(new S(std::in_place, std::forward<F>(f), std::forward<Args>(args)...)));
}
template <class F, class... Args>
requires(!std::is_same_v<std::decay_t<F>, std::launch> &&
         detail::startable<F, Args...>) future<detail::async_result<F, Args...>> async(F&& f, Args&&... args) {
  return baton::async(std::launch::async, std::forward<F>(f), std::forward<Args>(args)...);
}

}  // namespace baton

template <class T, class Allocator>
struct std::uses_allocator<baton::promise<T>, Allocator> : std::true_type {};
