// All Ms that ever existed, for those who walk them: dumps, the exit handler. Entries never vanish.
#pragma once

#include <cstdint>

namespace baton::sched {

struct machine;

[[nodiscard]] std::uint32_t machine_count() noexcept;
[[nodiscard]] machine* machine_at(std::uint32_t i) noexcept;

}  // namespace baton::sched
