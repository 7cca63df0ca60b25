// Public API: baton::options, how the runtime is set up. Plain values; run.h says when they count.
#pragma once

#include <baton/sched/time_limit.h>

#include <chrono>
#include <cstddef>

namespace baton {

// What happens when all fibers are asleep and nothing can wake them any more. In each case a report with every fiber's
// wait reason goes to stderr first, once. A line before it names each cycle of fibers that wait for each other: for a
// mutex whose owner was recorded (mutex.h), or in join().
//
// The report is never a false alarm. It is therefore made only while run() waits, and not while anything might wake a
// fiber: a timer, a fiber in a declared call, a fiber that waits for a descriptor or a child process, an earlier
// os_signals::notify(), or any thread of the process that is neither the runtime's nor inside run().
enum class deadlock_action {
  report,  // and the process goes on, asleep
  abort,   // SIGABRT
  exit_2,  // exit code 2, without destructors, as a Go program does
};

// The size of the largest stack that a fiber can have.
inline constexpr std::size_t stack_size_max = std::size_t{8} << 20;

struct options {
  // The number of logical processors, that is of fibers that run at the same time. 0 means $BATON_PROCS, or else the
  // CPUs that the affinity mask and the cgroup quotas (of all groups above, too) allow, also when these change later.
  // At most 256; a number below 0 counts as 0.
  int procs = 0;
  // The greatest number of threads; those that are blocked in system calls count. At the limit, and when the system
  // refuses a thread, nothing fails: what is ready to run waits until one of the calls ends, and the thread of that
  // call runs it first. A line on stderr says so, once. lock_os_thread() leaves one thread to the other fibers if there
  // are two or more. The range is 1 to 10,000; a number outside counts as the nearest one in it.
  int max_threads = 10'000;
  // A thread that has had nothing to do for so long ends; procs and two more stay. max() of any duration means that no
  // thread ends.
  time_limit idle_threads_end_after = std::chrono::seconds(30);
  // Usable bytes of a fiber's stack. They are address space, committed when touched. Rounded up to one of these sizes:
  // 16, 64, 256 KiB, 1 and 8 MiB. More than stack_size_max counts as stack_size_max, with a line on stderr. A guard
  // lies beneath the stack; a frame that is larger than the guard can step over it, unless the code is compiled with
  // -fstack-clash-protection.
  std::size_t stack_size = 256 * 1024;
  // A fiber that keeps its thread for so long, by computing or in a call that was not declared as blocking, loses its
  // processor to others (but not its thread). max() means never; a time below 0 counts as 0.
  time_limit rescue_after = std::chrono::milliseconds(10);
  bool rescue = true;
  // For tests: a call that blocks its thread for rescue_after without being declared is reported on stderr even if
  // nothing waits for the fiber's processor, so that the mistake shows on an idle machine, too. The fiber then keeps
  // its processor. Each place (the call and its innermost frames) is reported once. Without this option there is a
  // report only when a processor is taken. A loop that computes is reported only then, in either case. The environment
  // variable BATON_STRICT=1 switches it on, too. It does not depend on `rescue`. It costs a look at each thread that
  // stays in user code for long.
  bool strict_blocking = false;
  // For tests: a fiber that has waited or yielded, or comes back from a declared call (blocking(), sys::, and what the
  // runtime builds on them), continues on another thread whenever one is idle. The runtime keeps some more threads for
  // this. Without it, most fibers continue on the same thread. So this mode exposes code that keeps something of its
  // thread across such a call: the address of a thread_local or of errno, a std::mutex. Pinned calls and fibers that
  // are locked to their thread stay there. Switches then cost some ten microseconds each. The environment variable
  // BATON_SCATTER=1 switches it on, too.
  bool scatter = false;
  // Where SIGPIPE has its default action, it does nothing while the runtime is up: writing to a closed connection is an
  // error, and does not end the process. Programs that the process executes have the default action again.
  bool ignore_sigpipe = true;
  deadlock_action on_deadlock = deadlock_action::report;
};

}  // namespace baton
