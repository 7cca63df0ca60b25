// What a timer or ticker and the clock share. Not for users: timer.h and ticker.h are.
#pragma once

#include <baton/runtime/channel.h>
#include <baton/runtime/detail/timer_worker.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/spawn.h>
#include <baton/sched/timer.h>

#include <chrono>
#include <cstdint>
#include <optional>

namespace baton::detail {

// Counted references: the handle has one, and the timer_worker while it has a work_item. See timer_state.cc.
class timer_state : public work_item {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  // Of a new one that nobody else knows: arms it, or if that time is past, does at once what is to be done.
  // Throws std::bad_alloc.
  void start(std::int64_t when_ns, bool past) {
    if (past) return arm_or_do(when_ns, past, 0);
    arm_first(when_ns);
  }

  // Never switch; may be called by several agents at once. True: it was pending, and what it was to
  // do has not been done and will not be. reset() throws std::bad_alloc; then nothing is pending.
  bool stop() noexcept;
  bool reset(std::int64_t when_ns, bool past);

  // Where the time comes out.
  [[nodiscard]] virtual channel<time_point> events() const { return channel<time_point>(); }

  // Instead of drop(): it stays until it has been due.
  void detach() noexcept;
  // The end of the handle.
  void drop() noexcept {
    // relaxed: calls of stop() and reset() have returned before, as the handle's user says.
    if (!at_rest_.load(sched::platform::mo::relaxed)) static_cast<void>(stop());
    release();
  }

 protected:
  timer_state() noexcept = default;
  virtual ~timer_state() = default;

  void retain() noexcept { references_.fetch_add(1, sched::platform::mo::relaxed); }
  void release(std::uint32_t n = 1) noexcept {
    namespace mo = sched::platform::mo;
    // acquire, acq_rel: the last one sees everything the others did. Who has all there are is alone, and
    // nobody can make more.
    if (references_.load(mo::acquire) == n || references_.fetch_sub(n, mo::acq_rel) == n) delete this;
  }

  // It is due: the part under the lock, in one step with stop(), and what comes after the lock.
  struct occasion {
    explicit occasion(std::uint64_t n = 0) noexcept : now(clock::now()), arming(n) {}
    occasion(const occasion&) = delete;
    occasion& operator=(const occasion&) = delete;
    ~occasion() {
      if (fiber.f != nullptr) sched::discard_fiber(fiber.f);
    }
    time_point now;
    std::uint64_t arming;
    transfer to_receiver;
    sched::prepared_fiber fiber;  // get_ready()'s
  };
  // Before that: gets what the rest needs. False: there is no memory.
  [[nodiscard]] virtual bool get_ready(occasion&) noexcept { return true; }
  virtual void announce(occasion&) noexcept {}
  // kept: so many references become finish()'s, to release when all is done; 0: the caller has its own.
  virtual void finish(occasion&, std::uint32_t kept) noexcept = 0;
  // By the timer_worker, instead of finish(), if it is not due any more. What a user's destructor does must not
  // happen in the timer_worker.
  virtual void let_go(occasion&, std::uint32_t kept) noexcept { release(kept); }
  // By the timer_worker, in finish() or let_go(): there was no memory for the next arming; let_go(), or what is due by
  // then, comes again.
  void come_again() noexcept;
  // Under the lock: takes back what was announced, if nobody has got it yet. A sender of the user's own,
  // who gets the room, is finished after the lock.
  struct withdrawal {
    std::optional<time_point> stale;
    transfer from_sender;
  };
  virtual bool withdraw(withdrawal&) noexcept { return false; }

  // reset() in two steps, and another time for the same arming: does nothing if there was a stop() or
  // reset() since.
  bool disarm(std::uint64_t* arming) noexcept;
  void arm(std::int64_t when_ns, std::uint64_t arming);
  // The same, or if that time is past, what is to be done then.
  void arm_or_do(std::int64_t when_ns, bool past, std::uint64_t arming);

 private:
  void arm_first(std::int64_t when_ns);
  static void on_timer(void* self, std::uint64_t arming, sched::fiber_list& readied) noexcept;
  void run() noexcept final;

  sched::platform::spin_lock lock_;
  sched::platform::atomic<std::uint32_t> references_{1};
  sched::platform::atomic<bool> at_rest_{true};  // stopped, and not reset since; written under the lock
  sched::timer_handle timer_ ABSL_GUARDED_BY(lock_);
  std::uint64_t arming_ ABSL_GUARDED_BY(lock_) = 0;  // changes with each stop() and reset()
  bool armed_ ABSL_GUARDED_BY(lock_) = false;        // it is to become due
  bool due_ ABSL_GUARDED_BY(lock_) = false;          // it has become so; the timer_worker will announce it
  bool queued_ ABSL_GUARDED_BY(lock_) = false;       // the timer_worker has it
  bool detached_ ABSL_GUARDED_BY(lock_) = false;     // the handle's reference goes when it was due
  bool never_ ABSL_GUARDED_BY(lock_) = false;        // armed, but for a time that does not come
};

// Hands the time to a channel.
class channel_timer : public timer_state {
 public:
  channel_timer() : channel_(1) {}
  [[nodiscard]] channel<time_point> events() const noexcept override { return channel_; }

 protected:
  void announce(occasion& o) noexcept override;
  void finish(occasion& o, std::uint32_t kept) noexcept override {
    o.to_receiver.finish();
    if (kept != 0) release(kept);
  }
  bool withdraw(withdrawal& w) noexcept override;

 private:
  const channel<time_point> channel_;
};

}  // namespace baton::detail
