// The timers of one P: a 4-ary heap ordered by deadline. See timer.cc for the life of a node.
#pragma once

#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/timer.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

class timer_heap;

// Type-stable: nodes are recycled through their heap's free list and never freed, so a stale handle still names a node,
// whose generation tells that the handle is stale.
struct timer_node {
  // (generation << 2) | state
  enum state : std::uint64_t { free = 0, armed = 1, firing = 2, cancelled = 3 };
  platform::atomic<std::uint64_t> word{0};
  std::int64_t when = 0;
  timer_function fn = nullptr;
  void* arg = nullptr;
  std::uint64_t seq = 0;
  timer_heap* home = nullptr;
  timer_node* next_free = nullptr;
  std::uint32_t position = 0;  // in the heap; valid while the node is in it
};

class timer_heap {
 public:
  // Returns the deadline of the earliest timer (it may be a cancelled one), or platform::forever_ns if there is none.
  // Any thread may read it; it is written under the lock.
  [[nodiscard]] std::int64_t earliest() const noexcept { return earliest_.load(platform::mo::acquire); }
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(platform::mo::relaxed); }
  // Returns how many timers are armed or have their callback under way; cancelled ones do not count.
  [[nodiscard]] std::size_t to_come() noexcept;

  // Returns an armed node, and sets *first to whether it is the earliest now. Returns null if the free list is empty
  // (see grow).
  [[nodiscard]] timer_node* arm(std::int64_t when, timer_function fn, void* arg, std::uint64_t seq,
                                std::uint64_t* generation, bool* first) noexcept;
  // Adds nodes to the free list. It allocates: throws std::bad_alloc. Requires: not in a runtime section.
  void grow();

  // Cancels a timer and takes its node off the heap; for the owner. Returns false if the timer fires or is gone.
  [[nodiscard]] bool cancel(timer_node* n, std::uint64_t generation) noexcept;
  // After a timer of another P's heap was cancelled: the node stays until it is popped or swept.
  void note_cancelled() noexcept { cancelled_.fetch_add(1, platform::mo::relaxed); }

  // Pops the next timer due at `now` and moves it to firing. Each timer that is popped, cancelled ones too, is
  // subtracted from `left`. Returns null if none is due or `left` is used up. The caller runs the callback (without any
  // lock) and then calls fired().
  [[nodiscard]] timer_node* pop_due(std::int64_t now, int& left) noexcept;
  void fired(timer_node* n) noexcept;
  // Sleeps while that timer's callback is under way. Requires: not in a runtime section.
  void await_fired(const timer_node* n, std::uint64_t generation) noexcept;

 private:
  struct entry {
    std::int64_t when;
    timer_node* node;
  };

  void sift_up(std::size_t i) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void sift_down(std::size_t i) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void place(std::size_t i, entry e) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void remove_at(std::size_t i) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void publish() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void recycle(timer_node* n) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void sweep_some() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  platform::spin_lock lock_;
  // The heap's array has room for all nodes that exist (see grow), so arming never allocates.
  entry* heap_ ABSL_GUARDED_BY(lock_) = nullptr;
  std::size_t used_ ABSL_GUARDED_BY(lock_) = 0;
  std::size_t capacity_ ABSL_GUARDED_BY(lock_) = 0;
  timer_node* free_ ABSL_GUARDED_BY(lock_) = nullptr;
  std::size_t nodes_ ABSL_GUARDED_BY(lock_) = 0;
  std::uint32_t firing_ ABSL_GUARDED_BY(lock_) = 0;
  bool somebody_sleeps_ ABSL_GUARDED_BY(lock_) = false;  // in await_fired()
  platform::atomic<std::uint32_t> wakes_{0};             // written under the lock
  std::size_t swept_ ABSL_GUARDED_BY(lock_) = 0;         // where the sweep continues
  platform::atomic<std::int64_t> earliest_{platform::forever_ns};
  platform::atomic<std::size_t> size_{0};
  platform::atomic<std::uint32_t> cancelled_{0};
};

}  // namespace baton::sched
