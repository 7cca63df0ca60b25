// The shared object, or executable, that this library was linked into.
#pragma once

namespace baton::sched::platform {

// From now on dlclose() leaves it where it is: its threads, its handlers of signals and its exit handler have their
// code there. Does nothing for an executable, which is never unloaded.
void keep_module_loaded() noexcept;

}  // namespace baton::sched::platform
