// The scheduler's side of declared calls: handing the P over at entry, and coming back without one.
// The fast paths (a few plain stores) are inline in syscall/enter_exit.h and syscall/blocking.h.
#pragma once

#include <baton/sched/call_site.h>
#include <baton/sched/machine.h>

namespace baton::sched {

enum class handoff_cause : std::uint8_t { predicted, unknown, hinted };

// At the beginning of a declared call, in user state; the fiber's syscall_depth has been raised. Hands
// the P to another M if that is worth it: `unknown` only if work waits, the others always. Leaves the M
// in place::syscall. Returns whether the P is gone.
bool begin_call(machine* m, handoff_cause cause) noexcept;

// Within a declared call, when the thread is about to sleep on something of the runtime's own: that the
// call blocks is certain now.
void hand_over_within_call(machine* m) noexcept;

// At the end, when end_syscall() found a notice; the depth has been lowered. (S) Returns with a P, on
// whatever M the fiber is then. Returns whether the P had been lost.
bool end_call_slow() noexcept;

[[noreturn]] void exit_without_enter() noexcept;

}  // namespace baton::sched
