// The scheduler's one thread-local, for functions that may read it themselves. Internal to sched/.
//
// After a switch a fiber may be on another thread, and a compiler may keep the address of a thread_local for a whole
// function. So only a function that is noinline, and that does not use what it read here after anything that may
// switch, reads this variable. All other code calls this_machine().
#pragma once

#include <baton/sched/machine.h>

namespace baton::sched {

// initial-exec: one load, in a shared library too. constinit: no check for an initialiser at each access.
extern constinit thread_local machine* the_machine __attribute__((tls_model("initial-exec")));

}  // namespace baton::sched
