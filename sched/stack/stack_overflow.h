// Says which fiber ran out of stack, instead of a bare "Segmentation fault":
//
//   baton: stack overflow in fiber 17 "accept": its stack of 64 KiB is used up (raise it with
//   attributes.stack_size or options.stack_size); fault at 0x7f...
//   (back trace)
//
// and aborts. A frame that is larger than the guard may step over it and hit the guard beneath another stack. The
// report then names the fiber that ran and the fiber whose guard that is. Faults elsewhere go to the handler that was
// installed before.
#pragma once

#include <baton/sched/stack/stack.h>

#include <cstddef>

namespace baton::sched {

// Process-wide. Handles SIGSEGV and SIGBUS. Hands every fault that is not a stack's on to the handler found here, or to
// the default action. Does nothing for a signal for which the handler is still installed. Only one thread at a time may
// call this function or the next one.
void install_overflow_handler() noexcept;
// Puts back the handlers that install_overflow_handler() found. If other code has since replaced the runtime's handler,
// the replacement stays, and may hand signals on to the runtime's.
void remove_overflow_handler() noexcept;

// The first function writes the name of what runs on the stack (`fiber 17 "accept"`) into `buffer`, with a NUL. The
// second writes the name of what the calling thread runs and returns its stack; on a thread that runs no fiber, the
// stack is empty. Both are called in a signal handler on the thread that faulted: no locks, no allocation.
using overflow_namer = void (*)(const stack& s, char* buffer, std::size_t size) noexcept;
using overflow_runner = stack (*)(char* buffer, std::size_t size) noexcept;
// Writes what the fiber on that stack runs (`main()::<lambda()>`), or nothing.
using overflow_closure_namer = void (*)(const stack& s, char* buffer, std::size_t size) noexcept;
void set_overflow_namer(overflow_namer namer, overflow_runner runner = nullptr,
                        overflow_closure_namer closure = nullptr) noexcept;

// The stack that a thread's signal handlers run on. Every thread that runs fibers makes one and destroys it. The
// destructor puts back what was there before. Without memory the class does nothing: an overflow then ends the process
// without a report.
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
