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

// For a thread that is about to be started. Null: there cannot be one, *error says why: ENOMEM, or EAGAIN when all
// places are taken by threads that run or have not ended yet.
[[nodiscard]] machine* allocate_machine(int* error) noexcept;
// The thread could not be started.
void take_machine_back(machine* m) noexcept;
// By the thread itself, which uses its M no more, and ends.
void retire_machine(machine* m) noexcept;

// Whether a thread has retired since they were last reaped.
[[nodiscard]] bool has_machines_to_reap() noexcept;
// Joins the threads that have ended. Waits for none.
void reap_ended_machines() noexcept;

}  // namespace baton::sched
