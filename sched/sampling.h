// Choosing one call in so many, for what would be too expensive to do each time.
#pragma once

#include <cstdint>

namespace baton::sched {

// For numbers that differ from call to call, be it by 1, by 2 or by chance: takes the upper digits after a
// multiplication that mixes them.
[[nodiscard]] inline bool one_in_64(std::uint64_t number) noexcept {
  return (number * 0x9e37'79b9'7f4a'7c15U) >> 58 == 0;
}

}  // namespace baton::sched
