// How an M waits for a P that somebody hands to it. Internal to sched/; hand_p() and await_p(), for those who
// need no more, are in scheduler.h.
#pragma once

#include <baton/sched/machine.h>

#include <cstdint>

namespace baton::sched {

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
