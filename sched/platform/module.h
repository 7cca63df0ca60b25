// The shared object or executable that this library was linked into.
#pragma once

namespace baton::sched::platform {

// From now on dlclose() leaves the module loaded: the code of its threads, signal handlers and exit handler lies in it.
// Does nothing for an executable, which is never unloaded.
void keep_module_loaded() noexcept;

}  // namespace baton::sched::platform
