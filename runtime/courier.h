// What a timer's callback may not do itself, because it runs in the scheduler (sched/timer.h): call
// subscribers, hand values to channels, start fibers. It leaves that to the courier, one fiber of the
// process. Not for users.
#pragma once

#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>

#include <cstdint>

namespace baton::detail {

// Something that the courier is to do once. It must stay until run(), which may destroy it.
class errand {
 public:
  // By the courier, in user state. Brief: the next one waits.
  virtual void run() noexcept = 0;

  errand* next_errand = nullptr;  // for whoever holds it

 protected:
  errand() noexcept = default;
  errand(const errand&) = delete;
  errand& operator=(const errand&) = delete;
  ~errand() = default;
};

class courier {
 public:
  static courier& get();

  // Must have been called once before push(); never switches. Throws std::bad_alloc if its fiber
  // cannot be had.
  void start();

  // From a timer's callback: runs the errands of that chain in their order, and after earlier ones.
  void push(errand* first, sched::fiber_list& readied) noexcept;

  // From anywhere in user state, when e needs memory and there is none: runs it again after a while.
  void try_later(errand* e) noexcept;

  // From an errand's run(): the same as push(). What is left of a long errand comes so, after those of others; before
  // it the courier lets other fibers run.
  void append(errand* first) noexcept;

 private:
  courier() = default;
  void serve() noexcept;
  [[nodiscard]] sched::strand* queue(errand* first) noexcept;
  [[nodiscard]] bool take_later(errand*& todo) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  sched::platform::atomic<bool> started_{false};
  sched::platform::atomic<bool> serving_{false};
  sched::platform::spin_lock lock_;
  errand* first_ ABSL_GUARDED_BY(lock_) = nullptr;
  errand* last_ ABSL_GUARDED_BY(lock_) = nullptr;
  errand* later_ ABSL_GUARDED_BY(lock_) = nullptr;
  std::int64_t later_at_ns_ ABSL_GUARDED_BY(lock_) = 0;
  bool long_errands_ = false;                             // its own fiber's: append() has been called
  sched::strand* idle_ ABSL_GUARDED_BY(lock_) = nullptr;  // the fiber, while it waits
};

}  // namespace baton::detail
