// The only memory that unwinding accepts as a stack.
#pragma once

#include <cstdint>

namespace baton::sched {

// [low, high).
struct stack_bounds {
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
};

}  // namespace baton::sched
