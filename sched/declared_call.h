// The scheduler's side of declared calls: handing the P over at entry, and coming back without one.
// syscall/enter_exit.h and syscall/blocking.h are what users see.
#pragma once

#include <baton/sched/call_site.h>
#include <baton/sched/machine.h>

namespace baton::sched {

enum class handoff_cause : std::uint8_t { predicted, unknown, hinted };

// All begin_: in user state; they raise the fiber's depth, and do no more if that was not 0. None of them
// switches. Off fibers they do nothing.
//
// A site known to block hands the P over at entry; an unknown one if work waits; a short one keeps it.
void begin_call(call_site& site) noexcept;
// Hands the P over, whatever waits.
void begin_blocking_call() noexcept;
// Keeps it, whatever the site has learnt. Returns whether there is one to keep.
bool begin_short_call(call_site& site) noexcept;
// A bare enter_syscall, whose site is the place that this function returns to: as begin_call(), but an
// unknown site keeps the P.
void begin_call_here() noexcept;

// (S) The end of any of them. `here`: on the same thread. Returns whether the P was gone meanwhile: handed over at
// entry, or taken by the monitor. Aborts if nothing began.
enum class stay : std::uint8_t { anywhere, here };
bool end_call(stay where) noexcept;

// Within a declared call, when the thread is about to sleep on something of the runtime's own: that the
// call blocks is certain now.
void hand_over_within_call(machine* m) noexcept;

}  // namespace baton::sched
