// The lock of a file descriptor: which agent may use it, which may read, which may write, and which closes it.
//
// Read operations hold the read lock, one at a time; write operations hold the write lock. An operation that neither
// reads nor writes the stream (setsockopt, shutdown, getsockname) holds a plain reference. Each lock includes a
// reference. Locks and references exist only as an fd_hold or fd_reference, one for each public call. close() forbids
// all three, wakes the agents that queue for a lock, waits until the last hold is gone, and gives the number up. Every
// close() returns only after that.
//
// One word holds the whole state; from the lowest bit:
//
//   bit  0       closed
//   bit  1       read lock
//   bit  2       write lock
//   bits 3..22   references (one for each lock held, for each agent that queues, and for each close()
//                that waits for the first one)
//   bits 23..42  agents that queue for the read lock
//   bits 43..62  agents that queue for the write lock
//   bit  63      finished: no agent is inside, and the number is given up
//
// See fd_mutex.cc for the protocol. Uncontended, a lock is one compare-and-swap and an unlock is one.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstdint>

namespace baton::net {

namespace mo = sched::platform::mo;

// Tickets, given out in order to waiting agents. fd_mutex queues with them. A ticket that comes before its agent is
// kept.
class ticket_queue {
 public:
  // Switches. Takes a ticket, and waits for one if there is none.
  void take(sched::wait_reason why) noexcept;
  // Never switches. The agent that take()s the ticket may destroy the queue.
  void give() noexcept;

 private:
  sched::platform::spin_lock lock_;
  std::uint32_t tickets_ ABSL_GUARDED_BY(lock_) = 0;
  sched::waiter_list waiting_ ABSL_GUARDED_BY(lock_);
};

// Several agents may call this at once. More than 2^20 - 1 references or queued agents abort.
class fd_mutex {
 public:
  enum class side : std::uint8_t { read, write };

  fd_mutex() noexcept = default;
  fd_mutex(const fd_mutex&) = delete;
  fd_mutex& operator=(const fd_mutex&) = delete;

  // Switches. Ends all use. The first call forbids new holds and wakes the queues. It calls begin(), which makes the
  // users inside leave, waits until no user is inside, and calls end(), which gives the number up (it may switch).
  // Every other call waits for the first one. After any of them has returned no agent is inside, not even in a close(),
  // and the fd_mutex may be destroyed. Returns false if this thread called exit() (sched::destructor_may_wait) and a
  // user is inside that may never leave. Then everything stays as it is, and the fd_mutex must stay, too.
  template <class Begin, class End>
  [[nodiscard]] bool close(Begin&& begin, End&& end) noexcept {
    if (!close_begin()) return await_finished();
    begin();
    if (!await_users()) return false;
    end();
    return finish();
  }

  // Hints.
  [[nodiscard]] std::uint64_t users() const noexcept { return references(word_.load(mo::relaxed)); }
  [[nodiscard]] bool is_closed() const noexcept { return (word_.load(mo::acquire) & closed_bit) != 0; }

 private:
  template <side Side>
  friend class fd_hold;
  friend class fd_reference;

  enum class [[nodiscard]] locked : std::uint8_t{
      yes,          // the lock and its reference are the caller's, until unlock()
      closed,       // nothing was taken
      closed_held,  // closed while queueing: no lock, but a reference, until release()
  };

  static constexpr std::uint64_t closed_bit = 1;
  static constexpr std::uint64_t finished_bit = std::uint64_t{1} << 63;
  static constexpr std::uint64_t reference_one = std::uint64_t{1} << 3;
  static constexpr std::uint64_t count_max = (std::uint64_t{1} << 20) - 1;

  static constexpr std::uint64_t lock_bit(side s) noexcept { return s == side::read ? 2 : 4; }
  static constexpr unsigned waiters_shift(side s) noexcept { return s == side::read ? 23 : 43; }
  static constexpr std::uint64_t waiter_one(side s) noexcept { return std::uint64_t{1} << waiters_shift(s); }
  static constexpr std::uint64_t references(std::uint64_t w) noexcept { return (w >> 3) & count_max; }
  static constexpr std::uint64_t waiters(std::uint64_t w, side s) noexcept {
    return (w >> waiters_shift(s)) & count_max;
  }

  // Switches. Takes the lock of one side and a reference.
  locked lock(side s) noexcept {
    // relaxed: the compare-and-swap below decides.
    std::uint64_t old = word_.load(mo::relaxed);
    // acquire: pairs with unlock()'s release, so the side's state passes from holder to holder.
    if ((old & (closed_bit | lock_bit(s))) == 0 && references(old) < count_max &&
        word_.compare_exchange_strong(old, (old | lock_bit(s)) + reference_one, mo::acquire, mo::relaxed)) {
      return locked::yes;
    }
    return lock_slow(s);
  }

  // Gives back the lock and its reference, and lets the next agent in the queue try.
  void unlock(side s) noexcept {
    std::uint64_t old = word_.load(mo::relaxed);
    // release: pairs with lock().
    if ((old & (closed_bit | lock_bit(s))) == lock_bit(s) && waiters(old, s) == 0 &&
        word_.compare_exchange_strong(old, (old & ~lock_bit(s)) - reference_one, mo::release, mo::relaxed)) {
      return;
    }
    unlock_slow(s);
  }

  // Takes a reference without a lock. Returns false if the word is closed.
  [[nodiscard]] bool acquire() noexcept;
  void release() noexcept;

  locked lock_slow(side s) noexcept;
  void unlock_slow(side s) noexcept;
  ticket_queue& queue(side s) noexcept { return s == side::read ? readers_ : writers_; }

  // The steps of close().
  [[nodiscard]] bool close_begin() noexcept;
  [[nodiscard]] bool await_users() noexcept;
  [[nodiscard]] bool finish() noexcept;
  [[nodiscard]] bool await_finished() noexcept;
  void leave_closed(std::uint64_t lock_bits) noexcept;
  [[nodiscard]] sched::agent* closer_to_wake() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(closing_);

  sched::platform::atomic<std::uint64_t> word_{0};
  ticket_queue readers_;
  ticket_queue writers_;

  // Used from close() on. Once the word is closed, references are given back under this lock.
  sched::platform::spin_lock closing_;
  sched::waiter* closer_ ABSL_GUARDED_BY(closing_) = nullptr;  // the first close(), while it waits for the users
  sched::waiter_list others_ ABSL_GUARDED_BY(closing_);        // later ones; each has a reference
  std::uint64_t others_count_ ABSL_GUARDED_BY(closing_) = 0;
};

// One call's hold on a descriptor: the lock of a side with its reference. The hold's destructor gives it back, however
// the call ends.
template <fd_mutex::side Side>
class [[nodiscard]] fd_hold {
 public:
  // Switches. Takes the lock of the side and a reference.
  explicit fd_hold(fd_mutex& m) noexcept : mutex_(m), has_(m.lock(Side)) {}
  ~fd_hold() {
    if (__builtin_expect(has_ == fd_mutex::locked::yes, 1)) {
      mutex_.unlock(Side);
    } else if (has_ == fd_mutex::locked::closed_held) {
      mutex_.release();
    }
  }
  fd_hold(const fd_hold&) = delete;
  fd_hold& operator=(const fd_hold&) = delete;

  // Returns true if the descriptor may be used, false if it has been closed. (A call that queued for a lock meanwhile
  // keeps the owner alive nevertheless, until the hold ends.)
  explicit operator bool() const noexcept { return has_ == fd_mutex::locked::yes; }

 private:
  fd_mutex& mutex_;
  const fd_mutex::locked has_;
};

// The hold of a call that neither reads nor writes the stream: a reference alone.
class [[nodiscard]] fd_reference {
 public:
  explicit fd_reference(fd_mutex& m) noexcept : mutex_(m), has_(m.acquire()) {}
  ~fd_reference() {
    if (has_) mutex_.release();
  }
  fd_reference(const fd_reference&) = delete;
  fd_reference& operator=(const fd_reference&) = delete;

  explicit operator bool() const noexcept { return has_; }

 private:
  fd_mutex& mutex_;
  const bool has_;
};

}  // namespace baton::net
