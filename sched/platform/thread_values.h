// A pointer per thread for a layer above, and a function that is called for it when the thread ends. It is not for
// fibers: they change threads (runtime/fiber_local.h is for them).
#pragma once

namespace baton::sched::platform {

// Called with the address that values_of_thread() returned. During the call values_of_thread() still returns it.
using thread_values_end = void (*)(void** where) noexcept;

// Returns null if the calling thread has no pointer yet, or no longer has one.
[[nodiscard]] void** values_of_thread() noexcept;

// Gives the calling thread a pointer, which is null at first. Requires: the thread has none. `end` is called among the
// destructors of the thread's thread_locals: after those that were built later, before those that were built earlier;
// on the main thread at exit. Afterwards the thread may be given another pointer. Returns null if there is no memory or
// if there are too many pthread keys.
[[nodiscard]] void** make_values_of_thread(thread_values_end end) noexcept;

}  // namespace baton::sched::platform
