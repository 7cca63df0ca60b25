// Public API: baton::shared_mutex, a lock that many agents may share for reading, or one may hold for writing.
//
//   waiter in lock(), lock_shared()      what is blocked
//   a fiber                              the fiber only; its thread and P run others
//   a plain thread                       the thread
//
// A shared_mutex works with std::shared_lock, std::unique_lock, std::lock_guard and std::scoped_lock, between fibers
// and plain threads in any mixture. Neither side starves: while a writer waits, new readers queue behind it; when a
// writer unlocks, all readers that wait then come in before the next writer. Writers and readers may take a free lock
// past a writer that was woken for it and has not run yet. A writer that has waited for 1 ms gets the lock handed over,
// in order of arrival.
//
// A shared_mutex is not recursive: even a fiber that reads twice can wait for itself, if a writer came in between.
// Owners are not recorded. Only the unlock of a lock that is not held in that mode is noticed, and aborts. Reading more
// than 2^27 times at once aborts, too; that happens when an unlock_shared() has been forgotten. A shared_mutex may be
// destroyed as soon as the last unlock() or unlock_shared() has released it, also by an agent that could lock and
// unlock it meanwhile.
#pragma once

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/slice_notice.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstdint>

namespace baton {

class context;

class shared_mutex {
 public:
  constexpr shared_mutex() noexcept = default;
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  // Waits until the lock is free, and takes it for writing. This and the other calls that wait let others run first if
  // the fiber's slice is over. Switches.
  void lock() noexcept {
    sched::handle_slice_notice();
    std::uint32_t expected = 0;
    // acquire: pairs with the release in unlock() and unlock_shared().
    if (!word_.compare_exchange_strong(expected, writer_bit, sched::platform::mo::acquire,
                                       sched::platform::mo::relaxed)) [[unlikely]] {
      lock_slow(sched::platform::forever_ns);
    }
  }

  // As lock(), but waits no longer than until the context is done. Returns OK if the caller has the lock. Otherwise
  // returns the context's error, with a message that names this call. Does not take the lock, even if it is free, if
  // the context is done at the start. If the context becomes done just when the caller gets the lock, either may win.
  // std::unique_lock(m, std::adopt_lock) takes over a lock that was taken so. Switches.
  [[nodiscard]] absl::Status lock(const context& ctx);

  // Takes the lock for writing if it is free, and returns true then. Never waits, and never fails without reason.
  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t seen = word_.load(sched::platform::mo::relaxed);
    while (!held(seen)) {
      // acquire: as in lock().
      if (word_.compare_exchange_weak(seen, seen | writer_bit, sched::platform::mo::acquire,
                                      sched::platform::mo::relaxed)) {
        return true;
      }
    }
    return false;
  }

  // As lock(), but wait no longer than the given time. Return false if it passed first. A free lock is taken even if
  // the time is zero or past. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& timeout) {
    return try_at_first() || lock_slow(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& when) {
    return try_at_first() || detail::until(when, [this](std::int64_t ns) { return lock_slow(ns); });
  }

  // Frees the lock. Never switches. Aborts if it is not held for writing.
  void unlock() noexcept {
    std::uint32_t expected = writer_bit;
    // release: pairs with the acquire of the next lock() or lock_shared().
    if (!word_.compare_exchange_strong(expected, 0, sched::platform::mo::release, sched::platform::mo::relaxed))
        [[unlikely]] {
      release_slow(true);
    }
  }

  // Waits until no writer holds the lock or waits for it, and takes it for reading. Switches.
  void lock_shared() noexcept {
    sched::handle_slice_notice();
    if (!try_lock_shared()) [[unlikely]]
      lock_shared_slow(sched::platform::forever_ns);
  }

  // As lock_shared(), but waits no longer than until the context is done. Returns what lock(ctx) returns.
  // std::shared_lock(m, std::adopt_lock) takes over a lock that was taken so. Switches.
  [[nodiscard]] absl::Status lock_shared(const context& ctx);

  // Takes the lock for reading if no writer holds it or waits for it, and returns true then. Never waits.
  [[nodiscard]] bool try_lock_shared() noexcept {
    std::uint32_t seen = word_.load(sched::platform::mo::relaxed);
    while ((seen & (writer_bit | waiting_bit | too_many_bit)) == 0) {
      // acquire: pairs with the release in unlock().
      if (word_.compare_exchange_weak(seen, seen + one_reader, sched::platform::mo::acquire,
                                      sched::platform::mo::relaxed)) {
        return true;
      }
    }
    return false;
  }

  // As lock_shared(), but wait no longer than the given time. Return false if it passed first. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(const std::chrono::duration<Rep, Period>& timeout) {
    return try_shared_at_first() || lock_shared_slow(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration>& when) {
    return try_shared_at_first() || detail::until(when, [this](std::int64_t ns) { return lock_shared_slow(ns); });
  }

  // Ends the caller's reading. Never switches. Aborts if there is no reader.
  void unlock_shared() noexcept {
    std::uint32_t seen = word_.load(sched::platform::mo::relaxed);
    // The last reader has to handle the waiters. An agent that finds no reader goes the same way.
    while (seen >= 2 * one_reader || (seen & ~woken_bit) == one_reader) {
      // release: pairs with the acquire in lock().
      if (word_.compare_exchange_weak(seen, seen - one_reader, sched::platform::mo::release,
                                      sched::platform::mo::relaxed)) {
        return;
      }
    }
    release_slow(false);
  }

 private:
  struct lock_waiter;

  static constexpr std::uint32_t writer_bit = 1;           // a writer owns it; then there are no readers
  static constexpr std::uint32_t waiting_bit = 2;          // one of the lists is not empty
  static constexpr std::uint32_t woken_bit = 4;            // one writer was woken, and competes
  static constexpr std::uint32_t readers_bit = 8;          // waiting_readers_ is not empty
  static constexpr std::uint32_t one_reader = 16;          // the number of readers is the rest
  static constexpr std::uint32_t too_many_bit = 1U << 31;  // of that number: far from an overflow

  static constexpr bool held(std::uint32_t word) noexcept { return (word & writer_bit) != 0 || word >= one_reader; }

  // Returns true if the agent that releases the lock, and saw this word, has to handle the waiters.
  static constexpr bool must_pass_on(std::uint32_t word, bool by_writer) noexcept {
    if (by_writer && (word & readers_bit) != 0) return true;
    return (by_writer || word < 2 * one_reader) && (word & (waiting_bit | woken_bit)) == waiting_bit;
  }

  bool try_at_first() noexcept {
    sched::handle_slice_notice();
    return try_lock();
  }
  bool try_shared_at_first() noexcept {
    sched::handle_slice_notice();
    return try_lock_shared();
  }
  bool lock_slow(std::int64_t deadline_ns) noexcept;
  bool lock_shared_slow(std::int64_t deadline_ns) noexcept;
  template <class Wait>
  bool lock_by(const Wait& wait);
  template <class Wait>
  bool lock_shared_by(const Wait& wait);
  void release_slow(bool by_writer) noexcept;
  bool pass_on(bool by_writer) noexcept;
  bool enqueue_writer(lock_waiter& w, bool was_woken) noexcept;
  bool enqueue_reader(lock_waiter& w) noexcept;
  void leave(lock_waiter& w, bool writer) noexcept;
  std::uint32_t claim_readers(sched::waiter_list& granted) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(list_lock_);
  // Returns the two bits that say which waiters there are.
  [[nodiscard]] std::uint32_t who_waits() const noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(list_lock_) {
    if (!waiting_readers_.empty()) return waiting_bit | readers_bit;
    return waiting_writers_.empty() ? 0 : waiting_bit;
  }

  sched::platform::atomic<std::uint32_t> word_{0};
  sched::platform::spin_lock list_lock_;
  sched::waiter_list waiting_writers_ ABSL_GUARDED_BY(list_lock_);
  sched::waiter_list waiting_readers_ ABSL_GUARDED_BY(list_lock_);
};

using shared_timed_mutex = shared_mutex;  // std's name for one with timed forms

}  // namespace baton
