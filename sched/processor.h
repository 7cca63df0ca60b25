// P: the right to run fibers, and what goes with it. It is touched by the M that holds it, in a runtime section
// (baton_word.h), by a revoker that has taken it, or by the thread that took it off the idle list. Fields that others
// read are atomic and say so.
#pragma once

#include <baton/sched/counter.h>
#include <baton/sched/run_queue.h>
#include <baton/sched/stack/stack.h>
#include <baton/sched/timer_heap.h>

#include <cstdint>

namespace baton::sched {

struct machine;

struct alignas(64) processor {
  // ---- the run queue; read by thieves ----
  run_queue queue;

  // ---- the owner's bookkeeping of picks ----
  // Picks until the next slow one (see queues.cc). See picks().
  alignas(64) platform::atomic<std::uint32_t> countdown{1};
  bool served_returning = false;    // the last pick took a fiber from the `returning` queue
  bool served_spilled = false;      // the last turn of the shared queues was not the global queue's
  std::uint32_t batches_first = 0;  // how many spilled batches went before the ring
  std::uint32_t spawned = 0;        // fibers spawned since the ring was checked for fibers to spill
  std::uint64_t spilled_in = 0;     // the turn of the last spill, by the number of picks
  // Twice the number of slow picks; odd while one of them sets the countdown again.
  platform::atomic<std::uint64_t> slow_picks_twice{0};
  // Picks that took runnext: while picks() - chained stands still, one fiber, or one chain of fibers, has had this P,
  // and the monitor notices.
  counter chained;
  std::uint64_t next_look_ticks = 0;  // when to look at timers and the network next
  std::uint64_t random = 0;           // xorshift state of the stealing order
  // Free fibers, linked through fiber::next.
  fiber* free_fibers = nullptr;
  std::uint32_t free_fiber_count = 0;
  // Ids for fibers spawned here, a block at a time.
  std::uint64_t next_id = 0, last_id = 0;
  counter spawns, steals;

  // A slow pick begins. Returns how many there have been, with this one. For the owner.
  std::uint64_t count_slow_pick() noexcept {
    const std::uint64_t before = slow_picks_twice.load(mo::relaxed);
    slow_picks_twice.store(before + 1, mo::relaxed);
    countdown.store(limits::clock_every, mo::release);  // pairs with picks(): the odd number first
    slow_picks_twice.store(before + 2, mo::release);    // pairs with picks(): the countdown first
    return before / 2 + 1;
  }
  // Returns how many picks there have been. Any thread may ask.
  [[nodiscard]] std::uint64_t picks() const noexcept {
    for (;;) {
      const std::uint64_t twice = slow_picks_twice.load(mo::acquire);
      const std::uint32_t left = countdown.load(mo::acquire);
      const std::uint64_t counted = twice / 2 * limits::clock_every + 1;  // the first pick is a slow one
      if (twice % 2 != 0) return counted;
      if (twice == slow_picks_twice.load(mo::relaxed)) return counted - left;
    }
  }

  // ---- read by others ----
  platform::atomic<machine*> m{nullptr};  // a hint: the M that holds this P; machine::p is authoritative
  platform::atomic<bool> idle{false};     // on the idle list

  // ---- guarded by the scheduler's lock ----
  processor* next_idle = nullptr;

  timer_heap timers;  // has its own lock: any thread may run due timers

  struct stack_cache {
    std::uint32_t count = 0;
    stack free[limits::stack_cache];
  };
  stack_cache stacks[stack_classes];
  std::uint32_t index = 0;
};

}  // namespace baton::sched
