// How a P is handed to an M, and how an M waits for one. Internal to sched/.
#pragma once

#include <baton/sched/machine.h>

#include <cstdint>

namespace baton::sched {

// Hands p, which no thread owns, to an M that waits for one and is on no list. spinning: the M begins as a spinner, and
// is counted already.
void hand_p(machine* to, processor* p, bool spinning) noexcept;
// Waits until a P is handed to m. Requires: no P, and no section. Returns in a section.
void await_p(machine* m) noexcept;
// The same. But if exit() stops the fibers it returns false, without a P: the fiber goes on in user code, outside a
// section.
[[nodiscard]] bool await_p_unless_stopped(machine* m) noexcept;

// The parts of await_p(), for an M that waits only until a deadline.
//
// From here on p is m's. Requires: a section of m.
void acquire_p(machine* m, processor* p) noexcept;
// Requires: no section. Returns false if no P came before the deadline. A P may still come then, until leave_handoff().
[[nodiscard]] bool await_handoff(machine* m, std::int64_t deadline_ns) noexcept;
// Looks for the P for some time without sleeping, if that pays.
void spin_for_handoff(const machine* m) noexcept;
// Requires: a P has come. Begins a section, with this P.
void accept_handoff(machine* m) noexcept;
// No P can come any more.
void leave_handoff(machine* m) noexcept;

}  // namespace baton::sched
