// How a P is handed to an M, and how an M waits for one. Internal to sched/.
#pragma once

#include <baton/sched/machine.h>

#include <cstdint>

namespace baton::sched {

// Hands p, which nobody owns, to an M that waits for one and is on no list. spinning: it begins as a
// spinner, already counted.
void hand_p(machine* to, processor* p, bool spinning) noexcept;
// Waits, without a P and outside a section, until one is handed to m; returns in a section.
void await_p(machine* m) noexcept;

// The parts of await_p(), for an M that waits no longer than until a deadline.
//
// p is m's from here on; in a section of m.
void acquire_p(machine* m, processor* p) noexcept;
// Outside a section. False: nobody came before the deadline; then somebody still may, until leave_handoff().
[[nodiscard]] bool await_handoff(machine* m, std::int64_t deadline_ns) noexcept;
// Looks for it awhile without sleeping, if that pays.
void spin_for_handoff(const machine* m) noexcept;
// After it came: begins a section, with the P.
void accept_handoff(machine* m) noexcept;
// Nobody will come any more.
void leave_handoff(machine* m) noexcept;

}  // namespace baton::sched
