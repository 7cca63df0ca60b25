// The state that a promise, or a function that async() runs, shares with its futures. Internal; users include future.h.
#pragma once

#include <baton/runtime/detail/fiber_result.h>
#include <baton/runtime/fiber.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace baton::detail {

[[noreturn]] void throw_future_error(std::future_errc code);
[[noreturn]] void no_exception_given() noexcept;
[[noreturn]] void no_launch_policy() noexcept;

// Something that a state calls once, when it becomes ready.
class future_listener {
 public:
  future_listener() noexcept = default;
  future_listener(const future_listener&) = delete;
  future_listener& operator=(const future_listener&) = delete;
  virtual ~future_listener() = default;
  // Called by the agent that made the state ready. Never switches.
  virtual void on_ready() noexcept = 0;

 private:
  friend class future_core;
  // Guarded by the lock of the state.
  future_listener* next_ = nullptr;
  future_listener** link_ = nullptr;  // the pointer that points to this; null: in no list
};

// The part that does not depend on the type. future_state.cc describes the protocol.
class future_core {
 public:
  future_core(const future_core&) = delete;
  future_core& operator=(const future_core&) = delete;
  virtual ~future_core() = default;

  // Handles are counted: promises, futures, and packaged tasks. The first one need not be counted.
  void hold() noexcept { holds_.fetch_add(1, sched::platform::mo::relaxed); }
  // Switches if unheld() does.
  void let_go() noexcept {
    // acq_rel: the last one sees what all the others did.
    if (holds_.fetch_sub(1, sched::platform::mo::acq_rel) == 1) unheld();
  }

  [[nodiscard]] bool is_ready() const noexcept {
    // acquire: pairs with the release in make_ready().
    return (word_.load(sched::platform::mo::acquire) & ready_bit) != 0;
  }
  // Returns true if the state has a function that waits for its first waiter.
  [[nodiscard]] bool is_deferred() const noexcept {
    return (word_.load(sched::platform::mo::relaxed) & deferred_bit) != 0;
  }

  // Waits until the state is ready. Runs a deferred function that no agent has begun. Switches.
  void wait() noexcept {
    run_if_deferred();
    static_cast<void>(wait_deadline(sched::platform::forever_ns));
  }
  // Runs a deferred function that no agent has begun, and makes the state ready. Switches.
  void run_if_deferred() noexcept {
    if (is_deferred()) run_if_first();
  }
  // Returns false if the deadline passed first. Never runs a deferred function. Switches.
  bool wait_deadline(std::int64_t deadline_ns) noexcept;

  // Returns false if the state is ready; the listener is not called then. Requires: the listener lives until it has
  // been called, or unlisten() has returned true.
  [[nodiscard]] bool listen(future_listener& l) noexcept;
  // Returns true if the listener is not called any more. Returns false if it was called, is about to be, or never
  // listened.
  [[nodiscard]] bool unlisten(future_listener& l) noexcept;

 protected:
  enum class starts : std::uint8_t { empty, deferred };
  explicit future_core(starts as = starts::empty) noexcept : word_(as == starts::deferred ? deferred_bit : 0) {}

  // Returns true to the one agent that may store the result.
  [[nodiscard]] bool begin_storing() noexcept;
  // Nothing was stored: another agent may.
  void stop_storing() noexcept;
  // Requires: the result is stored. Readies the waiters, and calls the listeners. Does not use *this once an agent can
  // see that it is ready. Never switches.
  void make_ready() noexcept;
  // For unheld(): waits until the state is ready, and so left by the agent that makes it ready. Returns false if it
  // cannot be waited for after exit(). The state must be left as it is then. Switches.
  [[nodiscard]] bool await_result() noexcept;
  // Ends the values of the running fiber's fiber_locals. Switches if they do.
  static void end_fiber_locals() noexcept;

 private:
  static constexpr std::uint32_t ready_bit = 1;     // nothing else is set then
  static constexpr std::uint32_t storing_bit = 2;   // an agent stores the result, or runs the deferred function
  static constexpr std::uint32_t hooked_bit = 4;    // waiters_ or listeners_ is not empty
  static constexpr std::uint32_t deferred_bit = 8;  // the function has not begun

  // Called when the last handle is gone.
  virtual void unheld() noexcept = 0;
  // Runs the deferred function and makes the state ready.
  virtual void run_deferred() noexcept {}

  void run_if_first() noexcept;
  bool hook() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void unhook_if_bare() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void take_hooked(sched::waiter_list& claimed, future_listener*& heard) noexcept;

  sched::platform::atomic<std::uint32_t> word_;
  sched::platform::atomic<std::uint32_t> holds_{1};
  sched::platform::spin_lock lock_;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(lock_);
  future_listener* listeners_ ABSL_GUARDED_BY(lock_) = nullptr;
};

// With the result. A state that is ready without one belongs to a promise that was broken.
template <class T>
class future_state : public future_core {
 public:
  future_state() noexcept = default;

  // Stores what the arguments make. If that throws, the state is as before. Never switches, unless T's constructor
  // does. Throws future_error if there is a result.
  template <class... Args>
  void store(Args&&... args) {
    claim_result();
    storing guard{this};
    result_.emplace(std::forward<Args>(args)...);
    std::exchange(guard.state, nullptr)->make_ready();
  }
  void store_exception(std::exception_ptr e) {
    if (e == nullptr) [[unlikely]]
      no_exception_given();
    claim_result();
    result_.fail(std::move(e));
    make_ready();
  }
  // Stores what f() returns or throws. Throws future_error, and does not call f, if there is a result.
  template <class F>
  void run(F&& f) {
    claim_result();
    result_.run(std::forward<F>(f));
    make_ready();
  }
  // The state has no result, and will not get one any more.
  void break_promise() noexcept {
    if (begin_storing()) make_ready();
  }

  // Require: the state is ready. The first moves the result out, and is called once.
  T take() {
    if (std::exception_ptr* const e = result_.exception()) {
      // A local copy, so that the reference in the state is not counted while the exception travels.
      const std::exception_ptr mine = std::exchange(*e, nullptr);
      std::rethrow_exception(mine);
    }
    if (result_.empty()) throw_future_error(std::future_errc::broken_promise);
    return result_.take_value();
  }
  std::conditional_t<std::is_void_v<T>, void, std::add_lvalue_reference_t<const T>> look() {
    if (const std::exception_ptr* const e = result_.exception()) std::rethrow_exception(*e);
    if (result_.empty()) throw_future_error(std::future_errc::broken_promise);
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return *result_.value();
    } else {
      return result_.value();
    }
  }

 protected:
  explicit future_state(starts as) noexcept : future_core(as) {}
  void unheld() noexcept override { delete this; }

  outcome<T> result_;

 private:
  struct storing {
    future_state* state;
    ~storing() {
      if (state != nullptr) state->stop_storing();
    }
  };

  void claim_result() {
    if (!begin_storing()) [[unlikely]]
      throw_future_error(std::future_errc::promise_already_satisfied);
  }
};

// In memory of an allocator.
template <class T, class Allocator>
class allocated_future_state final : public future_state<T> {
  using traits = typename std::allocator_traits<Allocator>::template rebind_traits<allocated_future_state>;
  using own_allocator = typename traits::allocator_type;

 public:
  explicit allocated_future_state(const own_allocator& a) noexcept : allocator_(a) {}
  [[nodiscard]] static future_state<T>* make(const Allocator& a) {
    own_allocator own(a);
    const typename traits::pointer where = traits::allocate(own, 1);
    return ::new (static_cast<void*>(std::to_address(where))) allocated_future_state(own);  // does not throw
  }

 private:
  void unheld() noexcept override {
    own_allocator own(allocator_);
    const auto where = std::pointer_traits<typename traits::pointer>::pointer_to(*this);
    this->~allocated_future_state();
    traits::deallocate(own, where, 1);
  }

  own_allocator allocator_;
};

// With a function of async() and its arguments, in a closure C.
template <class C>
class task_state : public future_state<typename C::result> {
 protected:
  template <class... Args>
  explicit task_state(future_core::starts as, Args&&... args)
      : future_state<typename C::result>(as), task_(std::in_place, std::in_place, std::forward<Args>(args)...) {}

  void call() noexcept {
    this->result_.run(*task_);
    task_.reset();  // the objects that it refers to may be gone when the state is ready
  }

 private:
  std::optional<C> task_;
};

template <class C>
class deferred_state final : public task_state<C> {
 public:
  template <class... Args>
  explicit deferred_state(std::in_place_t, Args&&... args)
      : task_state<C>(future_core::starts::deferred, std::forward<Args>(args)...) {}

 private:
  void run_deferred() noexcept override {
    this->call();
    this->make_ready();
  }
};

// The fiber is not a handle: when the last future is gone, the state waits for the fiber.
template <class C>
class async_state final : public task_state<C> {
 public:
  template <class... Args>
  explicit async_state(std::in_place_t, Args&&... args)
      : task_state<C>(future_core::starts::empty, std::forward<Args>(args)...) {}

  // Called once, and only if the state was not deleted. Throws no_stack.
  void start() { go(body{this}); }

 private:
  struct body {
    using wrapped_function = typename C::function;
    async_state* state;
    void operator()() noexcept {
      state->call();
      future_core::end_fiber_locals();  // as a join: what they refer to may be gone
      state->make_ready();
    }
  };

  void unheld() noexcept override {
    if (this->await_result()) delete this;
  }
};

// A handle of a state. Null after a move.
template <class S>
class state_handle {
 public:
  state_handle() noexcept = default;
  explicit state_handle(S* counted) noexcept : s_(counted) {}
  state_handle(const state_handle& other) noexcept : s_(other.s_) {
    if (s_ != nullptr) s_->hold();
  }
  state_handle(state_handle&& other) noexcept : s_(std::exchange(other.s_, nullptr)) {}
  state_handle& operator=(state_handle other) noexcept {
    std::swap(s_, other.s_);
    return *this;
  }
  ~state_handle() {
    if (s_ != nullptr) s_->let_go();
  }

  [[nodiscard]] S* get() const noexcept { return s_; }
  [[nodiscard]] explicit operator bool() const noexcept { return s_ != nullptr; }
  // Throws future_error if there is no state.
  [[nodiscard]] S& operator*() const {
    if (s_ == nullptr) [[unlikely]]
      throw_future_error(std::future_errc::no_state);
    return *s_;
  }
  S* operator->() const { return &**this; }

 private:
  S* s_ = nullptr;
};

// What a promise and a packaged_task have in common.
template <class T>
class producer {
 public:
  using state = future_state<T>;

  producer() noexcept = default;
  explicit producer(state* counted) noexcept : state_(counted) {}
  producer(producer&& other) noexcept = default;
  producer& operator=(producer&& other) noexcept {
    producer(std::move(other)).swap(*this);
    return *this;
  }
  ~producer() {
    if (state_) state_.get()->break_promise();
  }
  void swap(producer& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(retrieved_, other.retrieved_);
  }

  [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(state_); }
  [[nodiscard]] state& operator*() const { return *state_; }
  // Throws future_error the second time, or if there is no state.
  [[nodiscard]] state_handle<state> for_future() {
    static_cast<void>(*state_);
    if (std::exchange(retrieved_, true)) throw_future_error(std::future_errc::future_already_retrieved);
    return state_;
  }

 private:
  state_handle<state> state_;
  bool retrieved_ = false;
};

}  // namespace baton::detail
