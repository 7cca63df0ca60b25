#include <baton/syscall/enter_exit.h>

#include <baton/sched/handoff.h>

namespace baton {

// Both are tail calls: one jump more than the scheduler's own functions. noinline: the return address
// is the caller's.
__attribute__((noinline)) void enter_syscall() noexcept { sched::begin_call_at(__builtin_return_address(0)); }
__attribute__((noinline)) void exit_syscall() noexcept { sched::end_call(sched::stay::anywhere); }

}  // namespace baton
