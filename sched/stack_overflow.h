// The report of a stack overflow: which fiber, how large its stack was, how to raise it, and where.
#pragma once

#include <baton/sched/stack.h>

#include <cstddef>

namespace baton::sched {

// Installs the process-wide handler of SIGSEGV and SIGBUS. A fault in a guard is reported and aborts;
// every other one goes to the handler that was there before, or kills as usual. Once per process.
void install_overflow_handler() noexcept;

// Writes who runs on the stack into the buffer, as `fiber 17 "name"`; called in the signal handler.
using overflow_namer = void (*)(const stack& s, char* buffer, std::size_t size) noexcept;
void set_overflow_namer(overflow_namer namer) noexcept;

// An alternate signal stack for the calling thread, without which nothing can be said about a stack
// that is used up. Each M has one for its whole life.
class alternate_stack {
 public:
  alternate_stack() noexcept;
  ~alternate_stack();
  alternate_stack(const alternate_stack&) = delete;
  alternate_stack& operator=(const alternate_stack&) = delete;

 private:
  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace baton::sched
