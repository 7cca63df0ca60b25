// Where fibers live: in chunks that are never freed, so that a pointer to a fiber stays a pointer to some fiber for
// ever.
#pragma once

#include <baton/sched/fiber.h>

namespace baton::sched {

// Returns a fresh or recycled entry, without a stack. Returns null if there is no memory. Takes a lock, and may map
// memory. Requires: no runtime section. (Ps keep caches in front of it, see spawn.cc.)
[[nodiscard]] fiber* allocate_fiber() noexcept;
// Gives entries back, which are linked through fiber::next.
void free_fibers(fiber* first) noexcept;

// For reports: every entry that exists. An entry may change while it is read.
[[nodiscard]] std::uint32_t fiber_entries() noexcept;
[[nodiscard]] fiber* fiber_entry_at(std::uint32_t i) noexcept;

}  // namespace baton::sched
