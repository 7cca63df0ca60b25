// All Ms that ever existed, for those who walk them: dumps, the exit handler. Entries never vanish.
#pragma once

#include <baton/sched/limits.h>

#include <cstdint>

namespace baton::sched {

struct machine;

// Some more than may run at once: of two that start and end at the same time, each has its own.
inline constexpr std::uint32_t machines_max = limits::threads_max + 16;

[[nodiscard]] std::uint32_t machine_count() noexcept;
[[nodiscard]] machine* machine_at(std::uint32_t i) noexcept;

}  // namespace baton::sched
