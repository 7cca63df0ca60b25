// The lock of a file descriptor: who may use it, who may read, who may write, and who closes it.
//
// Read operations hold the read lock, one at a time; write operations the write lock; what neither
// reads nor writes the stream (setsockopt, shutdown, getsockname) holds a plain reference. Each lock
// includes a reference. close() forbids all three, wakes those who queue for a lock, and waits until
// the last reference is gone; whoever drops that one is told to close the number with the kernel.
//
// One word says it all; from the lowest bit:
//
//   bit  0       closed
//   bit  1       read lock
//   bit  2       write lock
//   bits 3..22   references (one for each lock held, and for each strand that queues, too)
//   bits 23..42  strands that queue for the read lock
//   bits 43..62  strands that queue for the write lock
//
// See fd_mutex.cc for the protocol. Uncontended, a lock is one compare-and-swap and an unlock is one.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstdint>

namespace baton::net {

namespace mo = sched::platform::mo;

// Tickets, given out in order to waiting strands; what fd_mutex queues with. A ticket that comes
// before its strand is kept.
class ticket_queue {
 public:
  // (S) Takes a ticket, waiting for one if need be.
  void take(sched::wait_reason why) noexcept;
  // Never switches. The queue may be destroyed by the strand that take()s the ticket.
  void give() noexcept;

 private:
  sched::platform::spin_lock lock_;
  std::uint32_t tickets_ ABSL_GUARDED_BY(lock_) = 0;
  sched::waiter_list waiting_ ABSL_GUARDED_BY(lock_);
};

// Callable from any strand at once. More than 2^20 - 1 references or queued strands abort.
class fd_mutex {
 public:
  enum class side : std::uint8_t { read, write };
  enum class [[nodiscard]] locked : std::uint8_t{
      yes,          // the lock and its reference are the caller's, until unlock()
      closed,       // nothing was taken
      closed_held,  // closed while queueing: there is no lock, but a reference, until release()
  };
  enum class [[nodiscard]] released : std::uint8_t{
      in_use,  // nothing to do
      last,    // closed, and this was the last reference: close the number, then call drained()
  };

  fd_mutex() noexcept = default;
  fd_mutex(const fd_mutex&) = delete;
  fd_mutex& operator=(const fd_mutex&) = delete;

  // (S) Takes the lock of one side and a reference.
  locked lock(side s) noexcept {
    // relaxed: the compare-and-swap below decides.
    std::uint64_t old = word_.load(mo::relaxed);
    // acquire: pairs with unlock()'s release, so the side's state moves from holder to holder.
    if ((old & (closed_bit | lock_bit(s))) == 0 && references(old) < count_max &&
        word_.compare_exchange_strong(old, (old | lock_bit(s)) + reference_one, mo::acquire, mo::relaxed)) {
      return locked::yes;
    }
    return lock_slow(s);
  }

  // Gives back the lock and its reference, and lets the next strand in the queue try.
  released unlock(side s) noexcept {
    std::uint64_t old = word_.load(mo::relaxed);
    // release: pairs with lock() and with the last reference's acquire.
    if ((old & lock_bit(s)) != 0 && waiters(old, s) == 0 &&
        word_.compare_exchange_strong(old, (old & ~lock_bit(s)) - reference_one, mo::acq_rel, mo::relaxed)) {
      return is_last(old) ? released::last : released::in_use;
    }
    return unlock_slow(s);
  }

  // A reference without a lock. False: closed.
  [[nodiscard]] bool acquire() noexcept;
  released release() noexcept;

  // Forbids new locks and references and wakes the queues; takes a reference, which the caller gives
  // back with release(). False: somebody closed it before, and nothing was taken.
  [[nodiscard]] bool close() noexcept;

  // After `last` and the close with the kernel: lets await_drained() return. The caller touches
  // nothing of the owner after it.
  void drained() noexcept { drained_.give(); }
  // (S) For the one whose close() was true, after its release(): waits for drained().
  void await_drained() noexcept { drained_.take(sched::wait_reason::descriptor_lock); }

  // Hints.
  [[nodiscard]] std::uint64_t users() const noexcept { return references(word_.load(mo::relaxed)); }
  [[nodiscard]] bool is_closed() const noexcept { return (word_.load(mo::acquire) & closed_bit) != 0; }

 private:
  static constexpr std::uint64_t closed_bit = 1;
  static constexpr std::uint64_t reference_one = std::uint64_t{1} << 3;
  static constexpr std::uint64_t count_max = (std::uint64_t{1} << 20) - 1;

  static constexpr std::uint64_t lock_bit(side s) noexcept { return s == side::read ? 2 : 4; }
  static constexpr unsigned waiters_shift(side s) noexcept { return s == side::read ? 23 : 43; }
  static constexpr std::uint64_t waiter_one(side s) noexcept { return std::uint64_t{1} << waiters_shift(s); }
  static constexpr std::uint64_t references(std::uint64_t w) noexcept { return (w >> 3) & count_max; }
  static constexpr std::uint64_t waiters(std::uint64_t w, side s) noexcept {
    return (w >> waiters_shift(s)) & count_max;
  }
  // Whether the word that has just lost a reference had no other, and is closed.
  static constexpr bool is_last(std::uint64_t before) noexcept {
    return (before & closed_bit) != 0 && references(before) == 1;
  }

  locked lock_slow(side s) noexcept;
  released unlock_slow(side s) noexcept;
  ticket_queue& queue(side s) noexcept { return s == side::read ? readers_ : writers_; }

  sched::platform::atomic<std::uint64_t> word_{0};
  ticket_queue readers_;
  ticket_queue writers_;
  ticket_queue drained_;
};

}  // namespace baton::net
