// All Ms that ever existed, for code that walks them: dumps, the exit handler. Entries never vanish.
#pragma once

#include <baton/sched/limits.h>

#include <cstdint>

namespace baton::sched {

struct machine;

// A few more than may run at once: if one thread starts while another ends, each has its own M.
inline constexpr std::uint32_t machines_max = limits::threads_max + 16;

[[nodiscard]] std::uint32_t machine_count() noexcept;
[[nodiscard]] machine* machine_at(std::uint32_t i) noexcept;

// Returns an M for a thread that is about to be started. Returns null if there can be none; *error then says why:
// ENOMEM, or EAGAIN when all places are taken by threads that run or have not ended yet.
[[nodiscard]] machine* allocate_machine(int* error) noexcept;
// Takes m back, because its thread could not be started.
void take_machine_back(machine* m) noexcept;
// The thread itself calls this. It uses its M no more, and ends.
void retire_machine(machine* m) noexcept;

// Returns true if a thread has retired since the last reaping.
[[nodiscard]] bool has_machines_to_reap() noexcept;
// Joins the threads that have ended. Waits for none.
void reap_ended_machines() noexcept;

}  // namespace baton::sched
