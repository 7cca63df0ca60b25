// For code that cares which thread it is on.
//
//   auto text = baton::pinned_blocking([&] { return ::vendor_query(handle); });
//   if (text == nullptr) report(::vendor_last_error());   // a thread-local of the vendor's: still right
//
// Between calls that may switch, a fiber never changes threads; at each of them it may. pinned_blocking
// makes one declared call that does not: the same thread before, during and after it. lock_os_thread
// makes the fiber stay on its thread for good, and keeps every other fiber off it, as in Go.
//
// What the kernel ties to a thread needs a lock, too: pthread_sigmask, prctl(PR_SET_TIMERSLACK), namespaces,
// credentials, the scheduling class are the thread's, and other fibers run there next. And a child that asked for a
// signal at its parent's end (prctl(PR_SET_PDEATHSIG)) gets it when the thread that started it ends, which an idle one
// does (options::idle_threads_end_after): start it on a locked fiber that outlives it, or outside the runtime.
//
// What it costs: a fiber that waits in place keeps its thread from others, and gets going again by a
// hand-over between threads (some microseconds, under one if it comes at once) instead of a switch. A fiber that
// makes nothing but pinned calls never leaves its thread. Where such fibers hold all threads that max_threads allows,
// no other fiber runs: give way between two calls (this_fiber::yield(), sleep_for()).
#pragma once

#include <baton/syscall/blocking.h>

namespace baton {

// (S), but on the same thread. As blocking(f): when the P is gone at the end, the thread waits for one,
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

// (S) From its return on the calling fiber runs on its thread only, and no other fiber does. Nests. Off fibers it
// does nothing. Always one thread is left for the others (unless max_threads is 1): if this would be the last one,
// it waits until there is a thread more, or another fiber has unlocked its own. A fiber that ends while locked ends the
// thread, too: what it changed there (namespaces, credentials, the scheduling class) is nobody else's then.
void lock_os_thread() noexcept;

// Undoes one lock_os_thread. Does not switch. Without one it aborts, naming the fiber.
void unlock_os_thread() noexcept;

}  // namespace baton
