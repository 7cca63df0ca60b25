// A timer's callback runs in the scheduler (sched/timer.h), so it may not call subscribers, send values to channels or
// start fibers. It leaves that to the timer worker, one fiber of the process. Internal.
#pragma once

#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>

#include <cstdint>

namespace baton::detail {

// Something that the timer worker will do once. Requires: it lives until run(), which may destroy it.
class work_item {
 public:
  // Called by the timer worker, in user state. Must be brief: the next item waits.
  virtual void run() noexcept = 0;

  work_item* next_item = nullptr;  // for the code that holds it

 protected:
  work_item() noexcept = default;
  work_item(const work_item&) = delete;
  work_item& operator=(const work_item&) = delete;
  ~work_item() = default;
};

class timer_worker {
 public:
  static timer_worker& get();

  // Requires: it is called at least once before push(). Never switches. Throws std::bad_alloc if there is no memory for
  // its fiber.
  void start();

  // Called from a timer's callback: runs the work items of that chain in their order, after earlier ones.
  void push(work_item* first, sched::fiber_list& readied) noexcept;

  // Called from anywhere in user state, when e needs memory and there is none: runs it again after a while.
  void try_later(work_item* e) noexcept;

  // Called from a work item's run(): the same as push(). The rest of a long work item comes this way, after the items
  // of others. Before it runs, the timer worker lets other fibers run.
  void append(work_item* first) noexcept;

 private:
  timer_worker() = default;
  void serve() noexcept;
  [[nodiscard]] sched::agent* queue(work_item* first) noexcept;
  [[nodiscard]] bool take_later(work_item*& todo) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  sched::platform::atomic<bool> started_{false};
  sched::platform::atomic<bool> serving_{false};
  sched::platform::spin_lock lock_;
  work_item* first_ ABSL_GUARDED_BY(lock_) = nullptr;
  work_item* last_ ABSL_GUARDED_BY(lock_) = nullptr;
  work_item* later_ ABSL_GUARDED_BY(lock_) = nullptr;
  std::int64_t later_at_ns_ ABSL_GUARDED_BY(lock_) = 0;
  bool long_items_ = false;                              // its own fiber's: append() has been called
  sched::agent* idle_ ABSL_GUARDED_BY(lock_) = nullptr;  // the fiber, while it waits
};

}  // namespace baton::detail
