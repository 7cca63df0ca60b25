// Declaring a blocking call to the scheduler.
//
//   baton::enter_syscall();
//   ssize_t n = ::read(fd, buffer, size);   // may block: the P of this thread can go to others
//   int error = errno;                      // read errno before the end: the fiber may change threads
//   baton::exit_syscall();                  // (S)
//
// The pair costs some plain stores (3 to 4 ns): the monitor pays for the barrier that makes them safe
// (sched/baton_word.h has the protocol and its argument). Between the two the fiber's thread counts as a
// plain thread: every baton call works, and one that waits puts the thread to sleep, not the fiber.
// Thread-safety: concerns the calling fiber only. Nests: only the outermost pair counts. Off fibers both
// do nothing. Prefer blocking(f) (blocking.h), which cannot be left unbalanced and learns.
#pragma once

#include <baton/sched/handoff.h>
#include <baton/sched/machine.h>

namespace baton {

// Never switches, never blocks. What it says takes effect at once: from here on the monitor may give
// this thread's P to another one.
inline void enter_syscall() noexcept {
  sched::machine* const m = sched::this_machine();
  if (m == nullptr) return;
  sched::fiber* const f = m->my_fiber();
  if (f->syscall_depth++ == 0) m->baton.begin_syscall();
}

// (S) The fiber goes on when it has a P again, maybe on another thread: what was read from
// thread-locals before (errno among them) belongs to another thread then. Without a matching
// enter_syscall it aborts, naming the fiber.
inline void exit_syscall() noexcept {
  sched::machine* const m = sched::this_machine();
  if (m == nullptr) return;
  sched::fiber* const f = m->my_fiber();
  if (__builtin_expect(f->syscall_depth == 0, 0)) sched::exit_without_enter();
  if (--f->syscall_depth == 0 && !m->baton.end_syscall()) sched::end_call_slow();
}

// The pair as an object.
class [[nodiscard]] syscall_scope {
 public:
  syscall_scope() noexcept { enter_syscall(); }
  ~syscall_scope() { exit_syscall(); }
  syscall_scope(const syscall_scope&) = delete;
  syscall_scope& operator=(const syscall_scope&) = delete;
};

}  // namespace baton
