// A stack, as a value, and the sizes that stacks come in.
//
//        chunk base             limit()                                  top
//           |  guard             |  usable, `size` bytes                  |
//           |  (faults)          |  ............ the fiber grows <-- this way
//
// Thread safety: plain values and pure functions.
#pragma once

#include <baton/sched/unwind/stack_bounds.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

// A usable range of memory. The holder of the value owns the range. The range is never unmapped.
struct stack {
  std::byte* top = nullptr;  // one past the highest usable byte, page aligned
  std::uint32_t size = 0;    // usable bytes below top (the guard not included), a multiple of the page size
  std::uint32_t klass = 0;   // size class index

  explicit operator bool() const noexcept { return top != nullptr; }
  [[nodiscard]] std::byte* limit() const noexcept { return top - size; }
};
static_assert(sizeof(stack) == 16);

[[nodiscard]] inline stack_bounds bounds_of(const stack& s) noexcept {
  const auto high = reinterpret_cast<std::uintptr_t>(s.top);
  return {high - s.size, high};
}

// 16, 64 and 256 KiB, 1 and 8 MiB usable, all rounded up to pages. Where the processor's registers need it, the first
// is raised to the size of one signal frame (AT_MINSIGSTKSZ) and 8 KiB.
inline constexpr std::size_t stack_classes = 5;

// Returns the smallest class with at least `size` usable bytes, or stack_classes if there is none.
[[nodiscard]] std::size_t stack_class_for(std::size_t size) noexcept;

// Returns the usable bytes of a stack of the class. Requires: klass < stack_classes.
[[nodiscard]] std::size_t stack_class_size(std::size_t klass) noexcept;

// Returns how many bytes below the usable ones fault: 16 KiB, or a page where pages are larger. It is more than a page
// because a frame may skip one without touching it.
[[nodiscard]] std::size_t stack_guard_size() noexcept;

[[nodiscard]] std::size_t page_size() noexcept;

}  // namespace baton::sched
