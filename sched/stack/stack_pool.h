// The global depot of stacks, from which Ps fill their own caches. stack_pool.cc describes its lists.
//
// Thread safety: any thread may call any function, without a scheduler lock. acquire may map memory and wait for
// another thread that does: do not call it in a runtime section. release makes no system call. Only one thread at a
// time may call trim and trim_all, not in a runtime section. find_guard and find_stack take no lock and are
// async-signal-safe.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/stack/guard.h>
#include <baton/sched/stack/stack.h>
#include <baton/sched/stack/stack_region.h>

#include <absl/base/thread_annotations.h>
#include <cstddef>
#include <cstdint>

namespace baton::sched {

class stack_pool {
 public:
  using guard_kind = sched::guard_kind;

  struct counters {
    std::uint64_t stacks;          // stacks that exist, in use or free
    std::uint64_t bytes_mapped;    // address space
    std::uint64_t mappings;        // how many mappings that address space consists of
    std::uint64_t guard_failures;  // stacks without a guard
    std::uint64_t trimmed;         // how often a free stack's pages were given back
  };

  // Returns the only pool. It is leaked: it serves until the process has ended.
  static stack_pool& instance() noexcept;

  stack_pool(const stack_pool&) = delete;
  stack_pool& operator=(const stack_pool&) = delete;

  // Fills out[0..n) with up to n stacks of the class, recycled ones first. Returns how many. Returns 0, with errno set,
  // if there is no memory. The contents of a recycled stack are unspecified.
  [[nodiscard]] std::size_t acquire(std::size_t klass, stack* out, std::size_t n) noexcept;

  // Takes back stacks that acquire() gave. Requires: no thread runs on them or points into them any more. Classes may
  // be mixed.
  void release(const stack* in, std::size_t n) noexcept;

  // Gives back the pages of some stacks that have been free for a long time; takes a millisecond or so. Returns when it
  // should be called again: at once if there are more, forever_ns if there is nothing to give back.
  std::int64_t trim(std::int64_t now_ns) noexcept;
  // Gives back the pages of all free stacks but a few, however long it takes.
  void trim_all() noexcept;

  // Under valgrind: from here on the leak check sees what the stacks point to. Waits for a thread that maps memory.
  // Requires: no other thread runs fibers. What the caller's own stack points to is not seen if it is a fiber's.
  void show_to_leak_check() noexcept;

  [[nodiscard]] counters read() const noexcept;

  // Returns what new stacks get at present.
  [[nodiscard]] guard_kind guard() const noexcept { return guards_.kind(); }

  // Return true if the address lies within the guard (find_guard) or the usable bytes (find_stack) of one of the pool's
  // stacks. *owner is that stack.
  [[nodiscard]] bool find_guard(const void* address, stack* owner) const noexcept;
  [[nodiscard]] bool find_stack(const void* address, stack* owner) const noexcept;

  // New stacks get this kind from now on. See guard_installer::set_for_test.
  void set_guard_kind_for_test(guard_kind kind, std::size_t mprotect_guards_max = 0) noexcept;

 private:
  // Free stacks, last in, first out, linked through their region's header.
  struct list {
    chunk_id head = no_chunk;
    std::size_t count = 0;
  };
  struct alignas(64) depot {
    platform::spin_lock lock;
    list young ABSL_GUARDED_BY(lock);  // released during this period
    list old ABSL_GUARDED_BY(lock);    // released before this period
    list cold ABSL_GUARDED_BY(lock);   // never used, or trimmed: no pages
    bool ripe = false;                 // the stacks in `old` are to be trimmed; only the caller of trim() uses it
  };

  constexpr stack_pool() noexcept = default;

  std::size_t take(std::size_t klass, stack* out, std::size_t n) noexcept;
  std::size_t cut(std::size_t klass, stack* out, std::size_t n) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(grow_lock_);
  void put_cold(std::size_t klass, const stack* in, std::size_t n) noexcept;
  void release_same_class(const stack* in, std::size_t n) noexcept;
  void trim_some(std::size_t klass, std::size_t n) noexcept;
  static void turn(depot& d) noexcept;

  bool pop(list& l, stack* out) noexcept;
  void push(list& l, const stack& s) noexcept;
  bool find(const void* address, bool in_guard, stack* owner) const noexcept;

  // Lock order: grow_lock_, then a depot's lock. grow_lock_ is held during mmap and madvise.
  platform::spin_lock grow_lock_;
  depot depots_[stack_classes];
  guard_installer guards_;                                                 // its install() needs grow_lock_
  stack_region* growing_[stack_classes] ABSL_GUARDED_BY(grow_lock_) = {};  // has chunks that are not cut yet
  std::int64_t next_turn_ns_ = 0;                                          // only the caller of trim() uses it
  platform::atomic<std::uint64_t> stacks_{0};
  platform::atomic<std::uint64_t> trimmed_{0};
  region_table regions_;
};

}  // namespace baton::sched
