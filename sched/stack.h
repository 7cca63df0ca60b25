// A stack as a plain value, and the classes in which stacks come.
#pragma once

#include <cstddef>
#include <cstdint>

namespace baton::sched {

// The usable range of a stack; its guard lies below limit().
struct stack {
  std::byte* top = nullptr;  // one past the highest usable byte; page aligned
  std::uint32_t size = 0;    // usable bytes below top; a multiple of the page size
  std::uint32_t klass = 0;   // index of its class

  explicit operator bool() const noexcept { return top != nullptr; }
  [[nodiscard]] std::byte* limit() const noexcept { return top - size; }
};

// 16, 64, 256 KiB, 1 and 8 MiB of usable bytes. The smallest is raised where the kernel's signal frames
// (AT_MINSIGSTKSZ) would not leave 8 KiB of it.
inline constexpr std::size_t stack_classes = 5;

// The smallest class with at least `size` bytes; stack_classes when there is none.
[[nodiscard]] std::size_t stack_class_for(std::size_t size) noexcept;
[[nodiscard]] std::size_t stack_class_size(std::size_t klass) noexcept;

}  // namespace baton::sched
