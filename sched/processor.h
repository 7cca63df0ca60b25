// P: the right to run fibers, and what goes with it. Touched by the M that holds it, in a runtime
// section (baton_word.h), by a revoker that has taken it, or by whoever took it off the idle list;
// fields that others read are atomic and say so.
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
  // Picks until the next slow one (see queues.cc), which counts them: picks = slow_picks * clock_every
  // - countdown. `chained` counts those that took runnext: while picks - chained stands still, one fiber,
  // or one chain of them, has had this P, and the monitor notices.
  alignas(64) platform::atomic<std::uint32_t> countdown{1};
  bool served_returning = false;    // the last pick took one from the `returning` queue
  bool served_spilled = false;      // of the shared ones, the last turn was not the global queue's
  std::uint32_t batches_first = 0;  // so many spilled batches went before the ring
  std::uint32_t spawned = 0;        // fibers, since the ring was looked at for what it should spill
  std::uint64_t spilled_in = 0;     // the turn, by the number of picks
  counter slow_picks, chained;
  std::uint64_t next_look_ticks = 0;  // when to look at timers and the network next
  std::uint64_t random = 0;           // xorshift state of the stealing order
  // Free fibers, linked through fiber::next; those of the default class keep a stack.
  fiber* free_fibers = nullptr;
  std::uint32_t free_fiber_count = 0;
  // Of fibers spawned here: a block of ids at a time. Written by the owner alone; counters read them.
  platform::atomic<std::uint64_t> next_id{0}, last_id{0};
  counter spawns, steals;

  [[nodiscard]] std::uint64_t picks() const noexcept {
    return slow_picks.read() * limits::clock_every - countdown.load(mo::relaxed);
  }

  // ---- read by others ----
  platform::atomic<machine*> m{nullptr};  // a hint: who holds it; machine::p counts
  platform::atomic<bool> idle{false};     // on the idle list

  // ---- guarded by the scheduler's lock ----
  processor* next_idle = nullptr;

  timer_heap timers;  // has its own lock: anybody may run due timers

  struct stack_cache {
    std::uint32_t count = 0;
    stack free[limits::stack_cache];
  };
  stack_cache stacks[stack_classes];
  std::uint32_t index = 0;
};

}  // namespace baton::sched
