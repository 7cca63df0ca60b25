// Says which fiber ran out of stack, instead of a bare "Segmentation fault":
//
//   baton: stack overflow in fiber 17 "accept": its stack of 64 KiB is used up (raise it with
//   attributes.stack_size or options.stack_size); fault at 0x7f...
//   (back trace)
//
// and aborts. A frame that is larger than the guard may step over it and hit the guard beneath another stack; the
// report then names who ran, and whose guard that is. Faults elsewhere go to whoever handled them before.
#pragma once

#include <baton/sched/stack/stack.h>

#include <cstddef>

namespace baton::sched {

// Process-wide. Handles SIGSEGV and SIGBUS, and hands every fault that is not a stack's on to the handler found
// here, or to the default action. Does nothing for a signal for which it is still installed.
// By one thread at a time, as the next one.
void install_overflow_handler() noexcept;
// Puts back the handlers found by install_overflow_handler(). Where somebody has put another one in the place of
// ours since, that stays, and may hand on to ours.
void remove_overflow_handler() noexcept;

// The first writes who runs on the stack (`fiber 17 "accept"`) into buffer, with a NUL. The second writes what the
// calling thread runs, and returns the stack of that; an empty one on a thread that runs no fiber. Called in
// a signal handler on the thread that faulted: no locks, no allocation.
using overflow_namer = void (*)(const stack& s, char* buffer, std::size_t size) noexcept;
using overflow_runner = stack (*)(char* buffer, std::size_t size) noexcept;
// And what the fiber on that stack runs (`main()::<lambda()>`), or nothing.
using overflow_closure_namer = void (*)(const stack& s, char* buffer, std::size_t size) noexcept;
void set_overflow_namer(overflow_namer namer, overflow_runner runner = nullptr,
                        overflow_closure_namer closure = nullptr) noexcept;

// The stack that a thread's signal handlers run on; every thread that runs fibers has one, made and
// destroyed by that thread. Puts back what was there before. Without memory it does nothing: an overflow
// then ends the process without a report.
class alternate_stack {
 public:
  alternate_stack() noexcept;
  ~alternate_stack();
  alternate_stack(const alternate_stack&) = delete;
  alternate_stack& operator=(const alternate_stack&) = delete;

 private:
  std::byte* base_ = nullptr;  // the mapping: a guard, where there are guard regions, and the stack
  std::size_t bytes_ = 0;
  void* previous_ = nullptr;
  std::size_t previous_size_ = 0;
  int previous_flags_ = 0;
};

}  // namespace baton::sched
