// Names the cycles of a deadlock:
//
//   baton: a cycle: fiber 3 "a" waits for a mutex that fiber 4 "b" holds, which waits for a mutex that fiber 3 holds
#pragma once

namespace baton::sched {

// Logs each cycle of fibers that wait for each other: for a mutex whose owner is known (lock_head.h), or for a fiber to
// end. Logs nothing if there is none, or if there is no memory. Waits for the reader of the log as last_warning() does.
// Requires: a deadlock: no fiber runs, and none is readied meanwhile.
void log_owner_cycles() noexcept;

}  // namespace baton::sched
