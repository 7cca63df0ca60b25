// The lock for the runtime's own short critical sections: spins briefly, then sleeps on a futex,
// because its holder may be descheduled by the kernel (or, outside a runtime section, lose its P).
// It never tells the scheduler anything and never parks a fiber: hold it for tens of nanoseconds.
//
// Protocol, one word: 0 free, 1 held, 2 held and somebody sleeps. unlock() exchanges to 0 and wakes
// one sleeper if it was 2; a sleeper re-takes the lock as 2, so no wake is lost.
//
// The child of a fork has locks that threads of its parent held, which nobody there ever unlocks. Destructors that its
// exit() runs must not wait for them: after a while they go on as if the lock were free. What it guards may be half
// changed, but nobody else looks at it.
#pragma once

#include <baton/sched/platform/atomic.h>

#include <absl/base/thread_annotations.h>
#include <cstdint>

namespace baton::sched::platform {

class ABSL_LOCKABLE spin_lock {
 public:
  spin_lock() noexcept = default;
  spin_lock(const spin_lock&) = delete;
  spin_lock& operator=(const spin_lock&) = delete;

  void lock() noexcept ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    std::uint32_t expected = 0;
    // acquire: pairs with the release in unlock(); what the last holder wrote is seen here.
    if (!word_.compare_exchange_strong(expected, 1, mo::acquire, mo::relaxed)) lock_slow();
  }
  bool try_lock() noexcept ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    std::uint32_t expected = 0;
    return word_.load(mo::relaxed) == 0 && word_.compare_exchange_strong(expected, 1, mo::acquire, mo::relaxed);
  }
  void unlock() noexcept ABSL_UNLOCK_FUNCTION() {
    if (word_.exchange(0, mo::release) == 2) wake_sleeper();
  }

 private:
  // Spelled without annotation: it is the implementation of what the annotations describe.
  void lock_slow() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void wake_sleeper() noexcept;

  atomic<std::uint32_t> word_{0};
};

// In the child of a fork: from here on a lock whose holder does not let it go for long counts as free. The holder was a
// thread that the child does not have.
void spin_locks_in_fork_child() noexcept;

// Whether the address is in the code that waits for one: to tell, from a thread's stack, that it does.
[[nodiscard]] bool is_in_spin_lock(const void* pc) noexcept;

class ABSL_SCOPED_LOCKABLE lock_guard {
 public:
  explicit lock_guard(spin_lock& l) noexcept ABSL_EXCLUSIVE_LOCK_FUNCTION(l) : lock_(l) { lock_.lock(); }
  ~lock_guard() ABSL_UNLOCK_FUNCTION() { lock_.unlock(); }
  lock_guard(const lock_guard&) = delete;
  lock_guard& operator=(const lock_guard&) = delete;

 private:
  spin_lock& lock_;
};

}  // namespace baton::sched::platform
