// The poll descriptor: what the poller, deadlines, cancellation and close() know of one registered file descriptor. It
// has one slot for each side, the failure flags, and the deadlines.
//
// Poll descriptors live in a slab that is never freed. So a stale pointer or a stale event still leads to a poll
// descriptor, although perhaps not to the one that was meant; the generation tells. See poll_descriptor.cc for the
// protocol.
#pragma once

#include <baton/netpoll/poll_slot.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/timer.h>
#include <baton/sched/wait_reason.h>

#include <cstdint>

namespace baton::sched {
class fiber_list;
}

namespace baton::net {

enum class poll_side : std::uint8_t { read, write };

// Why an operation must not go on. none: it may.
enum class poll_failure : std::uint8_t { none, closed, cancelled, expired };

class alignas(64) poll_descriptor {
 public:
  // What epoll carries: the generation in the upper half, the index in the lower.
  using tag = std::uint64_t;

  // Never switches. Returns null if there is no memory (or 4 million are in use).
  [[nodiscard]] static poll_descriptor* obtain() noexcept;
  // Gives it back to the slab. Requires: the file descriptor is no longer registered, no agent waits, close_begin() was
  // called. Events on their way are recognised as stale.
  void recycle() noexcept;

  // Returns the poll descriptor that the tag names, or null if it has been recycled since.
  [[nodiscard]] static poll_descriptor* find(tag t) noexcept;
  [[nodiscard]] tag current_tag() const noexcept;

  // For the holder of a side's lock:

  // Checked first, before each try: one load.
  [[nodiscard]] poll_failure failure(poll_side side) const noexcept {
    // acquire: pairs with raise(). With the flag comes what was written before it.
    const std::uint32_t flags = flags_.load(mo::acquire) & failures_of(side);
    return flags == 0 ? poll_failure::none : name(flags);
  }
  // Switches. Waits for an edge, and uses it up, or for a failure. It may return early: the caller checks failure()
  // again, and tries again.
  void wait(poll_side side, sched::wait_reason why) noexcept;
  [[nodiscard]] poll_slot& slot(poll_side side) noexcept { return side == poll_side::read ? read_ : write_; }
  // Returns true if the peer hung up, or there is an error to fetch. Then no further edge may come, so a read must try
  // the call before it waits, whatever the slot says.
  [[nodiscard]] bool hung_up() const noexcept { return (flags_.load(mo::acquire) & hangup) != 0; }

  // For any thread; these never switch:

  // At deadline_ns (CLOCK_MONOTONIC; forever_ns: never) the side begins to fail, also for an agent that already waits.
  // Throws std::bad_alloc, with the former deadline in force.
  void set_deadline(poll_side side, std::int64_t deadline_ns);
  // The same for both sides. If it throws, both have their former deadlines.
  void set_deadlines(std::int64_t deadline_ns);
  // From now on both sides fail, and no deadline runs any more. Called once.
  void close_begin() noexcept;
  // true: the side fails, until a call with false.
  void set_cancelled(poll_side side, bool cancelled) noexcept;

  // For the poller: an event came. Never switches.
  void post(bool readable, bool writable, bool hung_up, sched::fiber_list& readied) noexcept;

 private:
  enum flag : std::uint32_t {
    closing = 1,
    read_expired = 2,
    write_expired = 4,
    read_cancelled = 8,
    write_cancelled = 16,
    hangup = 32,
  };

  struct deadline {
    std::uint64_t seq = 0;  // the number of the deadline in force
    std::int64_t when_ns = sched::platform::forever_ns;
    sched::timer_handle timer;
  };

  static constexpr std::uint32_t expired_flag(poll_side side) noexcept {
    return side == poll_side::read ? read_expired : write_expired;
  }
  static constexpr std::uint32_t cancelled_flag(poll_side side) noexcept {
    return side == poll_side::read ? read_cancelled : write_cancelled;
  }
  static constexpr std::uint32_t failures_of(poll_side side) noexcept {
    return closing | cancelled_flag(side) | expired_flag(side);
  }
  static poll_failure name(std::uint32_t flags) noexcept;

  [[nodiscard]] std::uint64_t next_seq() noexcept;
  // Arms the timer; the deadline is not in force yet. Throws std::bad_alloc.
  [[nodiscard]] deadline armed(poll_side side, std::int64_t deadline_ns, std::uint64_t seq);
  // Puts the deadline in force, unless a later one is.
  void enforce(poll_side side, const deadline& fresh) noexcept;

  void raise(std::uint32_t bit) noexcept;
  void evict(poll_side side) noexcept;
  static void on_read_deadline(void* self, std::uint64_t seq, sched::fiber_list& readied) noexcept;
  static void on_write_deadline(void* self, std::uint64_t seq, sched::fiber_list& readied) noexcept;
  void expire(poll_side side, std::uint64_t seq, sched::fiber_list& readied) noexcept;
  deadline& deadline_of(poll_side side) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return side == poll_side::read ? read_deadline_ : write_deadline_;
  }

  // The cache line that each operation touches.
  poll_slot read_;
  poll_slot write_;
  sched::platform::atomic<std::uint32_t> flags_{0};
  sched::platform::atomic<std::uint32_t> generation_{0};
  std::uint32_t index_ = 0;

  sched::platform::spin_lock lock_;
  std::uint64_t last_seq_ ABSL_GUARDED_BY(lock_) = 0;  // never goes back, also when recycled
  deadline read_deadline_ ABSL_GUARDED_BY(lock_);
  deadline write_deadline_ ABSL_GUARDED_BY(lock_);

  poll_descriptor* next_free_ = nullptr;  // guarded by the slab's lock

  friend struct poll_slab;
};

}  // namespace baton::net
