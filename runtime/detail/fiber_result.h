// Where a joinable fiber leaves what it returned or threw. Internal; users include fiber.h.
//
// The scheduler keeps 48 bytes for it (sched::result_slot), which outlive the fiber's stack. They hold a
// fiber_result<T>, in one of two forms:
//   inline   A union of T and exception_ptr, and a word that says which. The fiber itself constructs it when it ends.
//            Before that the slot is empty.
//   boxed    For a T that does not fit or is over-aligned: a pointer to the same thing on the heap. spawn() allocates
//            it, so that spawn() is the call that fails when there is no memory.
//
// Who touches it: spawn() before launch; then only the fiber, until it has ended; then only the joiner, or, for a
// detached fiber, the fiber itself (sched's result_dropper).
#pragma once

#include <baton/sched/spawn.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace baton::detail {

// Says on stderr that no join fetched the exception that the fiber ended with. Clears `e`.
void log_unfetched_exception(sched::fiber* f, std::exception_ptr& e) noexcept;

// Requires: a catch (...) block. Returns what was caught. If that is not a C++ exception but the C library ending the
// thread, says so and aborts.
[[nodiscard]] std::exception_ptr caught_exception() noexcept;

struct nothing {};

// What is stored for a function that returns T: a reference as a pointer, void as nothing.
template <class T>
using stored_result =
    std::conditional_t<std::is_void_v<T>, nothing,
                       std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::remove_cv_t<T>>>;

template <class T>
class outcome {
 public:
  using stored = stored_result<T>;

  outcome() noexcept {}
  outcome(const outcome&) = delete;
  outcome& operator=(const outcome&) = delete;
  ~outcome() {
    if (what_ == holds::value) {
      value_.~stored();
    } else if (what_ == holds::exception) {
      exception_.~exception_ptr();
    }
  }

  // Calls f and keeps what it returns or throws. The value is constructed in place: T need not be movable for this.
  template <class F>
  void run(F&& f) noexcept {
    try {
      if constexpr (std::is_void_v<T>) {
        std::forward<F>(f)();
        ::new (static_cast<void*>(&value_)) stored();
      } else if constexpr (std::is_reference_v<T>) {
        T&& reference = std::forward<F>(f)();
        ::new (static_cast<void*>(&value_)) stored(std::addressof(reference));
      } else {
        ::new (static_cast<void*>(&value_)) stored(std::forward<F>(f)());
      }
      what_ = holds::value;
    } catch (...) {
      ::new (static_cast<void*>(&exception_)) std::exception_ptr(caught_exception());
      what_ = holds::exception;
    }
  }

  [[nodiscard]] std::exception_ptr* exception() noexcept { return what_ == holds::exception ? &exception_ : nullptr; }
  // Moves the value out. What is left dies with the outcome.
  T take_value() {
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else {
      return std::move(value_);
    }
  }

 private:
  enum class holds : unsigned char { nothing, value, exception };
  union {
    stored value_;
    std::exception_ptr exception_;
  };
  holds what_ = holds::nothing;
};

template <class T>
class fiber_result {
 public:
  using contents = outcome<T>;
  static constexpr bool boxed = sizeof(contents) > sched::result_slot_size ||
                                alignof(contents) > alignof(std::max_align_t);

  // Requires: the fiber is not launched. Throws std::bad_alloc if a box is needed and there is no memory.
  static void open(sched::fiber* f) {
    if constexpr (boxed) ::new (sched::result_slot(f)) contents*(new contents);
  }
  // Called instead of launch.
  static void abandon(sched::fiber* f) noexcept {
    if constexpr (boxed) delete *slot(f);
  }

  // Called on the fiber.
  template <class F>
  static void run(sched::fiber* f, F&& function) noexcept {
    if constexpr (boxed) {
      (*slot(f))->run(std::forward<F>(function));
    } else {
      (::new (sched::result_slot(f)) contents)->run(std::forward<F>(function));
    }
  }

  // Requires: join_fiber() has returned. Empties the slot, releases the fiber, and returns or rethrows what was there.
  static T take(sched::fiber* f) {
    const emptier at_end{f};
    contents& c = of(f);
    if (std::exception_ptr* const e = c.exception()) rethrow(*e);
    return c.take_value();
  }

  // Requires: join_fiber() has returned, or the fiber is detached and has ended. Discards the result. A fiber that
  // ended with an exception says so.
  static void drop(sched::fiber* f) noexcept {
    contents& c = of(f);
    if (std::exception_ptr* const e = c.exception()) log_unfetched_exception(f, *e);
    destroy(f);
  }

 private:
  struct emptier {
    sched::fiber* f;
    ~emptier() {
      destroy(f);
      sched::release_fiber(f);
    }
  };

  [[noreturn]] static void rethrow(std::exception_ptr& e) {
    // A local copy, so that the reference in the slot is not counted while the exception travels.
    const std::exception_ptr mine = std::exchange(e, nullptr);
    std::rethrow_exception(mine);
  }
  static contents** slot(sched::fiber* f) noexcept {
    return std::launder(static_cast<contents**>(sched::result_slot(f)));
  }
  static contents& of(sched::fiber* f) noexcept {
    if constexpr (boxed) {
      return **slot(f);
    } else {
      return *std::launder(static_cast<contents*>(sched::result_slot(f)));
    }
  }
  static void destroy(sched::fiber* f) noexcept {
    if constexpr (boxed) {
      delete *slot(f);
    } else {
      of(f).~contents();
    }
  }
};

}  // namespace baton::detail
