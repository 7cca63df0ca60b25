// What a timer or ticker and the clock share. Internal; users include timer.h and ticker.h.
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

// References are counted: the handle has one, and the timer worker has one while the state is queued as a work item.
// See timer_state.cc.
class timer_state : public work_item {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  // Requires: the state is new and no other thread knows it. Arms it, or if that time is past, does the work at once.
  // Throws std::bad_alloc.
  void start(std::int64_t when_ns, bool past) {
    if (past) return arm_or_do(when_ns, past, 0);
    arm_first(when_ns);
  }

  // These never switch, and several agents may call them at once. They return true if the timer was pending, and its
  // work has not been done and will not be. reset() throws std::bad_alloc; then nothing is pending.
  bool stop() noexcept;
  bool reset(std::int64_t when_ns, bool past);

  // The channel that receives the time.
  [[nodiscard]] virtual channel<time_point> events() const { return channel<time_point>(); }

  // Called instead of drop(): the state stays until it has been due.
  void detach() noexcept;
  // Ends the handle.
  void drop() noexcept {
    // relaxed: the user of the handle guarantees that calls of stop() and reset() have returned.
    if (!at_rest_.load(sched::platform::mo::relaxed)) static_cast<void>(stop());
    release();
  }

 protected:
  timer_state() noexcept = default;
  virtual ~timer_state() = default;

  void retain() noexcept { references_.fetch_add(1, sched::platform::mo::relaxed); }
  void release(std::uint32_t n = 1) noexcept {
    namespace mo = sched::platform::mo;
    // acquire, acq_rel: the thread that drops the last reference sees everything the others did. A thread that has all
    // references is alone, and no other thread can make more.
    if (references_.load(mo::acquire) == n || references_.fetch_sub(n, mo::acq_rel) == n) delete this;
  }

  // The state when it is due: the part under the lock, in one step with stop(), and what comes after the lock.
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
    sched::prepared_fiber fiber;  // set by get_ready()
  };
  // Called before that: gets what the rest needs. Returns false if there is no memory.
  [[nodiscard]] virtual bool get_ready(occasion&) noexcept { return true; }
  virtual void announce(occasion&) noexcept {}
  // kept: so many references pass to finish(), which releases them when all is done; 0: the caller has its own.
  virtual void finish(occasion&, std::uint32_t kept) noexcept = 0;
  // Called by the timer worker, instead of finish(), if the state is not due any more. A user's destructor must not run
  // in the timer worker.
  virtual void let_go(occasion&, std::uint32_t kept) noexcept { release(kept); }
  // Called by the timer worker, in finish() or let_go(), if there was no memory for the next arming. let_go(), or what
  // is due by then, comes again.
  void come_again() noexcept;
  // Requires: the lock is held. Takes back what was announced, if it has not been received yet. If a sender of the
  // user's own gets the room, it is finished after the lock.
  struct withdrawal {
    std::optional<time_point> stale;
    transfer from_sender;
  };
  virtual bool withdraw(withdrawal&) noexcept { return false; }

  // reset() in two steps, and another time for the same arming. arm() does nothing if there was a stop() or reset()
  // since.
  bool disarm(std::uint64_t* arming) noexcept;
  void arm(std::int64_t when_ns, std::uint64_t arming);
  // Like arm(), or if that time is past, does the work at once.
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
  bool armed_ ABSL_GUARDED_BY(lock_) = false;        // it will become due
  bool due_ ABSL_GUARDED_BY(lock_) = false;          // it has become due; the timer worker will announce it
  bool queued_ ABSL_GUARDED_BY(lock_) = false;       // the timer worker has it
  bool detached_ ABSL_GUARDED_BY(lock_) = false;     // the handle's reference goes after the state was due
  bool never_ ABSL_GUARDED_BY(lock_) = false;        // armed, but for a time that never comes
};

// Sends the time to a channel.
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
