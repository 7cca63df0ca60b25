// What a timer's callback may not do itself, because it runs in the scheduler (sched/timer.h): call
// subscribers, hand values to channels, start fibers. It leaves that to the timer_worker, one fiber of the
// process. Not for users.
#pragma once

#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>

#include <cstdint>

namespace baton::detail {

// Something that the timer_worker is to do once. It must stay until run(), which may destroy it.
class work_item {
 public:
  // By the timer_worker, in user state. Brief: the next one waits.
  virtual void run() noexcept = 0;

  work_item* next_item = nullptr;  // for whoever holds it

 protected:
  work_item() noexcept = default;
  work_item(const work_item&) = delete;
  work_item& operator=(const work_item&) = delete;
  ~work_item() = default;
};

class timer_worker {
 public:
  static timer_worker& get();

  // Must have been called once before push(); never switches. Throws std::bad_alloc if its fiber
  // cannot be had.
  void start();

  // From a timer's callback: runs the work_items of that chain in their order, and after earlier ones.
  void push(work_item* first, sched::fiber_list& readied) noexcept;

  // From anywhere in user state, when e needs memory and there is none: runs it again after a while.
  void try_later(work_item* e) noexcept;

  // From a work_item's run(): the same as push(). What is left of a long work_item comes so, after those of others;
  // before it the timer_worker lets other fibers run.
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
