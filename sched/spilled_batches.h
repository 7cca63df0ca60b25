// Fibers that have not run yet, off the heads of well-filled rings: batches, of which a P takes the newest, and now and
// then the oldest.
//
// Why not the global queue, a FIFO like the ring? Fibers that spawn fibers make a tree, and a FIFO walks it level by
// level. With a million leaves, tens of thousands of fibers have begun and wait for their children, each with a stack
// that has left the caches and the TLB until its turn comes. Taking the newest first walks the tree by depth, as
// work-stealing deques do (Cilk, TBB): what has begun is soon finished, and what waits has not begun. Skynet, a tree of
// a million leaves: a fifth of the time, and 31 MB instead of 341.
//
// Fibers that have run are owed the order in which they were readied: they stay in the ring, and so do the fibers
// behind them that have not run. What is here waits while its ring has other fibers. So that these do not keep it
// waiting forever, batches come back to the ring now and then anyway (queues.cc).
#pragma once

#include <baton/sched/fiber.h>
#include <baton/sched/fiber_list.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>

#include <absl/base/thread_annotations.h>
#include <cstdint>

namespace baton::sched {

// Callable from any thread. A batch is a list whose first fiber holds the links to its neighbours.
class spilled_batches {
 public:
  [[nodiscard]] bool empty() const noexcept { return batches_.load(platform::mo::relaxed) == 0; }

  // Requires: the list is not empty.
  void push(fiber_list&& l) noexcept {
    fiber* const first = l.front();
    first->batch_last = l.back();
    first->batch_size = static_cast<std::uint32_t>(l.size());
    l = {};
    platform::lock_guard guard(lock_);
    first->newer = nullptr;
    first->older = newest_;
    (newest_ != nullptr ? newest_->newer : oldest_) = first;
    newest_ = first;
    count(1);
  }
  // Both return an empty list if there is none.
  [[nodiscard]] fiber_list pop_newest() noexcept {
    if (empty()) return {};
    platform::lock_guard guard(lock_);
    return take(newest_);
  }
  [[nodiscard]] fiber_list pop_oldest() noexcept {
    if (empty()) return {};
    platform::lock_guard guard(lock_);
    return take(oldest_);
  }

 private:
  fiber_list take(fiber* first) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    if (first == nullptr) return {};
    (first->newer != nullptr ? first->newer->older : newest_) = first->older;
    (first->older != nullptr ? first->older->newer : oldest_) = first->newer;
    count(-1);
    return {first, first->batch_last, first->batch_size};
  }
  void count(int change) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    // relaxed: a hint, except for the threads that publish an idle P and look at all queues afterwards: they and the
    // thread that pushes have fences of their own (idle.cc).
    batches_.store(batches_.load(platform::mo::relaxed) + change, platform::mo::relaxed);
  }

  platform::spin_lock lock_;
  fiber* newest_ ABSL_GUARDED_BY(lock_) = nullptr;
  fiber* oldest_ ABSL_GUARDED_BY(lock_) = nullptr;
  platform::atomic<int> batches_{0};
};

}  // namespace baton::sched
