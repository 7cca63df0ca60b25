// A pointer per thread that a layer above may use, and a function that is called for it when the thread
// ends. Not for what fibers use: they change threads (runtime/fiber_local.h is for them).
#pragma once

namespace baton::sched::platform {

// Called with what values_of_thread() returned, which still returns it meanwhile.
using thread_values_end = void (*)(void** where) noexcept;

// Null: the calling thread has no pointer yet, or none any more.
[[nodiscard]] void** values_of_thread() noexcept;

// Gives the calling thread, which has none, a pointer, null at first. `end` is called among the
// destructors of its thread_locals: after those that were built later, before those that were built
// earlier; on the main thread at exit. Afterwards the thread may be given another. Null: no memory,
// or too many pthread keys.
[[nodiscard]] void** make_values_of_thread(thread_values_end end) noexcept;

}  // namespace baton::sched::platform
