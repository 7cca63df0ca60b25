// Public API: for code to which it matters which thread runs it.
//
//   auto text = baton::pinned_blocking([&] { return ::vendor_query(handle); });
//   if (text == nullptr) report(::vendor_last_error());   // a thread-local of the vendor's: still right
//
// Between calls that may switch, a fiber never changes threads. At each such call it may. pinned_blocking makes one
// declared call that does not switch: the fiber is on the same thread before, during and after it. lock_os_thread makes
// the fiber stay on its thread for good, and keeps every other fiber off the thread, as in Go.
//
// What the kernel ties to a thread needs a lock, too: pthread_sigmask, prctl(PR_SET_TIMERSLACK), namespaces,
// credentials and the scheduling class belong to the thread, and other fibers run there next. A child that asked for a
// signal at its parent's end (prctl(PR_SET_PDEATHSIG)) gets the signal when the thread that started the child ends, and
// an idle thread does end (options::idle_threads_end_after). Start such a child on a locked fiber that outlives it, or
// outside the runtime.
//
// What it costs: a fiber that waits in place keeps its thread from other fibers. It resumes by a handoff between
// threads (some microseconds, or less than one if the handoff comes at once) instead of a switch. A fiber that makes
// nothing but pinned calls never leaves its thread. Where such fibers hold all threads that max_threads allows, no
// other fiber runs: give way between two calls (this_fiber::yield(), sleep_for()).
#pragma once

#include <baton/syscall/blocking.h>

namespace baton {

// Switches, but on the same thread. Does what blocking(f) does. If the P is gone at the end, the thread waits for one,
// among the first in the queue.
template <class F>
decltype(auto) pinned_blocking(F&& f) {
  const detail::call_scope<sched::stay::here> scope(detail::site_of<std::remove_cvref_t<F>>);
  return std::forward<F>(f)();
}
template <class F>
decltype(auto) pinned_blocking(F&& f, will_block_t) {
  const detail::call_scope<sched::stay::here> scope(will_block);
  return std::forward<F>(f)();
}

// Switches. From its return on, the calling fiber runs only on its thread, and no other fiber runs there. Nests.
// Outside fibers it does nothing. One thread is always left for the other fibers (unless max_threads is 1): if this
// would be the last one, the call waits until there is one more thread, or until another fiber has unlocked its own. A
// fiber that ends while locked ends its thread, too, so no other fiber gets what it changed there (namespaces,
// credentials, the scheduling class).
void lock_os_thread() noexcept;

// Undoes one lock_os_thread. Does not switch. Aborts, naming the fiber, if there is none to undo.
void unlock_os_thread() noexcept;

}  // namespace baton
