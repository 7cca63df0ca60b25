// The depot of stacks behind the Ps' caches.
#pragma once

#include <baton/sched/platform/lock.h>
#include <baton/sched/stack.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

// Thread-safe; one per process, never destroyed. Its calls may map memory and make system calls: not
// in a runtime section (release() of the caches' surplus is the rare exception), never under the
// scheduler's locks.
class stack_pool {
 public:
  [[nodiscard]] static stack_pool& instance() noexcept;

  // Fills out[0..n) with up to n stacks of the class, recycled ones first; returns how many. 0: no
  // memory (errno says why).
  [[nodiscard]] std::size_t acquire(std::size_t klass, stack* out, std::size_t n) noexcept;

  // Gives stacks back. Now and then looks how deep one of them was used, and returns the deep pages to
  // the kernel; that is never done when a fiber is born.
  void release(const stack* in, std::size_t n) noexcept;

  // What guards new stacks at present.
  enum class guard_kind : std::uint8_t { guard_region, mprotect_pages, none };
  [[nodiscard]] guard_kind guard() const noexcept;

  struct counters {
    std::uint64_t stacks = 0;        // that exist, in use or not
    std::uint64_t bytes_mapped = 0;  // of address space
    std::uint64_t mappings = 0;
    std::uint64_t guard_failures = 0;  // stacks without a guard
    std::uint64_t trimmed = 0;       // stacks whose deep pages were given back
  };
  [[nodiscard]] counters read() const noexcept;

  // Async-signal-safe. Whether the address lies in a guard (a stack) of ours, and in whose.
  [[nodiscard]] bool find_guard(const void* address, stack* owner) const noexcept;
  [[nodiscard]] bool find_stack(const void* address, stack* owner) const noexcept;

  // Tests of the fallbacks: from here on new stacks are guarded so; mprotect_budget guards at most by
  // mprotect.
  void set_guard_for_test(guard_kind kind, std::uint64_t mprotect_budget) noexcept;

 private:
  stack_pool() noexcept;

  struct depot {
    stack* free = nullptr;         // LIFO; its array has room for every stack of the class
    std::size_t count = 0;
    std::size_t capacity = 0;
    std::byte* next_chunk = nullptr;  // of the mapping that is being cut
    std::byte* mapping_end = nullptr;
    std::size_t existing = 0;
  };

  [[nodiscard]] bool cut(std::size_t klass, std::size_t wanted) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  [[nodiscard]] bool map_more(std::size_t klass) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  [[nodiscard]] bool reserve(depot& d, std::size_t stacks) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  mutable platform::spin_lock lock_;
  depot depots_[stack_classes] ABSL_GUARDED_BY(lock_);
  std::uint64_t released_ ABSL_GUARDED_BY(lock_) = 0;
  platform::atomic<std::uint64_t> stacks_{0}, bytes_{0}, trimmed_{0};
};

}  // namespace baton::sched
