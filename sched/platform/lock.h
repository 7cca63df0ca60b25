// The lock for the runtime's own short critical sections. It spins briefly and then sleeps on a futex, because the
// kernel may deschedule its holder (or the holder, outside a runtime section, may lose its P). It never tells the
// scheduler anything and never parks a fiber, so hold it for tens of nanoseconds only.
//
// Protocol, one word: 0 free, 1 held, 2 held and a thread sleeps. unlock() exchanges the word for 0 and wakes one
// sleeper if the word was 2. A sleeper retakes the lock as 2, so no wake is lost.
//
// The child of a fork has copies of locks that threads of its parent held. No thread of the child unlocks them. The
// destructors that the child's exit() runs must not wait for them, so after 100 ms such a lock counts as free. What it
// guards may be half changed, but no other thread looks at it.
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
    // acquire: pairs with the release in unlock(). The thread sees what the last holder wrote.
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
  // Without lock annotations: this function implements what the annotations describe.
  void lock_slow() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void wake_sleeper() noexcept;

  atomic<std::uint32_t> word_{0};
};

// In the child of a fork: from here on a lock that stays held for 100 ms counts as free. Its holder was a thread that
// the child does not have.
void spin_locks_in_fork_child() noexcept;

// Returns true if the address lies in the code that waits for a spin_lock. With it a thread's stack tells whether the
// thread waits for one.
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
