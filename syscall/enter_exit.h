// Public API: declares a blocking call to the scheduler.
//
//   baton::enter_syscall();
//   ssize_t n = ::read(fd, buffer, size);   // may block: other threads can use the P meanwhile
//   int error = errno;                      // read errno before the end: the fiber may change threads
//   baton::exit_syscall();                  // Switches.
//
// The pair costs some plain stores (about 4 ns): the monitor pays for the fence that makes them safe
// (sched/baton_word.h has the protocol and its argument). Between the two calls the fiber's thread counts as a plain
// thread: every baton call works, and one that waits puts the thread to sleep, not the fiber.
//
// Each place that calls enter_syscall is identified by its return address. Once its calls have turned out to block, it
// hands the P over at once (sched/call_site.h).
//
// Thread safety: the pair concerns the calling fiber only. Pairs nest; only the outermost one counts. Outside fibers
// both calls do nothing. Prefer blocking(f) (blocking.h), which cannot be left unbalanced.
#pragma once

#include <baton/sched/declared_call.h>

namespace baton {

// Never switches, never blocks. Takes effect at once: from here on the monitor may give this thread's P to another one.
__attribute__((always_inline)) inline void enter_syscall() noexcept { sched::begin_call_here(); }

// Switches. The fiber continues when it has a P again, perhaps on another thread. Values that it read from
// thread-locals before (errno among them) then belong to another thread. Aborts without a matching enter_syscall,
// naming the fiber. A fiber that ends without calling it aborts in the same way.
inline void exit_syscall() noexcept { sched::end_call(sched::stay::anywhere); }

// The pair as an object.
class [[nodiscard]] syscall_scope {
 public:
  __attribute__((always_inline)) syscall_scope() noexcept { enter_syscall(); }
  ~syscall_scope() { exit_syscall(); }
  syscall_scope(const syscall_scope&) = delete;
  syscall_scope& operator=(const syscall_scope&) = delete;
};

}  // namespace baton
