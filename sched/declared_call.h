// The scheduler's side of declared calls: hands the P over at entry, and comes back without one. Users see
// syscall/enter_exit.h and syscall/blocking.h.
#pragma once

#include <baton/sched/call_site.h>
#include <baton/sched/machine.h>

namespace baton::sched {

enum class handoff_cause : std::uint8_t { predicted, unknown, hinted };

// All begin_ functions require user state. They raise the fiber's depth, and do nothing more if the depth was not 0.
// None of them switches. Off fibers they do nothing.
//
// A site known to block hands the P over at entry. An unknown site does so if work waits. A short site keeps its P.
void begin_call(call_site& site) noexcept;
// Hands the P over, whether or not work waits.
void begin_blocking_call() noexcept;
// Keeps the P, whatever the site has learnt. Returns true if there is a P to keep.
bool begin_short_call(call_site& site) noexcept;
// Begins a bare enter_syscall. Its site is the place to which this function returns. As begin_call(), but an unknown
// site keeps its P.
void begin_call_here() noexcept;

// Ends any of these calls. `here`: the fiber stays on the same thread. Returns true if the P was gone meanwhile: handed
// over at entry, or taken by the monitor. Aborts if no call began. Switches.
enum class stay : std::uint8_t { anywhere, here };
bool end_call(stay where) noexcept;

// Foreign calls: the calls that code makes which knows nothing of baton, of the functions of the C library that block.
// The wrappers around these functions (syscall/interpose/) declare them. A fiber does not leave its thread in such a
// call.
//
// Returns true if the caller is a fiber in user code, in no declared call: its call should be declared. Not: plain
// threads, the runtime's own code, signal handlers that have interrupted it or a declared call.
[[nodiscard]] bool foreign_call_counts() noexcept;
// Returns true if the call has begun, and so must end. The site is call_site::at(where the function returns to, its
// name). An unknown site hands the P over if work waits.
[[nodiscard]] bool begin_foreign_call(call_site& site) noexcept;
// Ends it. The fiber has a P then, unless exit() has stopped the fibers. Such a fiber goes on without one: it may hold
// a lock of the library's that a static destructor needs. Leaves errno as it is. Switches, but stays on the thread.
void end_foreign_call() noexcept;
// The fiber is ending. If a jump (siglongjmp) has left a foreign call, ends that call.
void end_abandoned_call() noexcept;

// Within a declared call, when the thread is about to sleep on something of the runtime's own: now it is certain that
// the call blocks.
void hand_over_within_call(machine* m) noexcept;

}  // namespace baton::sched
