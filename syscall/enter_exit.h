// Declaring a blocking call to the scheduler.
//
//   baton::enter_syscall();
//   ssize_t n = ::read(fd, buffer, size);   // may block: the P of this thread can go to others
//   int error = errno;                      // read errno before the end: the fiber may change threads
//   baton::exit_syscall();                  // (S)
//
// The pair costs some plain stores (about 4 ns): the monitor pays for the barrier that makes them safe
// (sched/baton_word.h has the protocol and its argument). Between the two the fiber's thread counts as a
// plain thread: every baton call works, and one that waits puts the thread to sleep, not the fiber.
//
// Each place that calls enter_syscall is remembered by its return address: one whose calls have turned
// out to block hands the P over at once from then on (sched/call_site.h).
//
// Thread-safety: concerns the calling fiber only. Nests: only the outermost pair counts. Off fibers both
// do nothing. Prefer blocking(f) (blocking.h), which cannot be left unbalanced.
#pragma once

#include <baton/sched/declared_call.h>

namespace baton {

// Never switches, never blocks. What it says takes effect at once: from here on the monitor may give
// this thread's P to another one.
__attribute__((always_inline)) inline void enter_syscall() noexcept { sched::begin_call_here(); }

// (S) The fiber goes on when it has a P again, maybe on another thread: what was read from
// thread-locals before (errno among them) belongs to another thread then. Without a matching
// enter_syscall it aborts, naming the fiber; so does a fiber that ends without it.
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
