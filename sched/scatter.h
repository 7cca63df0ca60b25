// Scatter mode, for tests: fibers change threads wherever they may. Internal to sched/. See scatter.cc.
#pragma once

namespace baton::sched {

struct fiber;
struct machine;

// M m, in scatter mode, has taken f off a queue, and is about to switch to it. Returns true if f goes to another M, and
// m's P with it. Requires: a section, on the native context.
[[nodiscard]] bool sent_elsewhere(machine* m, fiber* f) noexcept;
// Returns how many more threads there should be: 0 unless this is scatter mode.
[[nodiscard]] int threads_to_scatter() noexcept;

}  // namespace baton::sched
