// How the runtime is set up. Plain values; see run.h for when they count.
#pragma once

#include <baton/sched/time_limit.h>

#include <chrono>
#include <cstddef>

namespace baton {

// What happens when all fibers are asleep and nothing can wake them any more. In each case a report
// with every fiber's wait reason goes to stderr first, once.
//
// It is never a false alarm, and so it is said only while run() waits, and not while there is anything
// that might wake a fiber: a timer, a fiber in a declared call, one that waits for a descriptor or a
// child process, os_signals::notify() having been used, or any thread of the process that is neither
// the runtime's nor inside run().
enum class deadlock_action {
  report,  // and the process goes on (sleeping)
  abort,   // SIGABRT
  exit_2,  // exit code 2, without destructors, as a Go program does
};

// The largest stack that a fiber can have.
inline constexpr std::size_t stack_size_max = std::size_t{8} << 20;

struct options {
  // Logical processors: how many fibers run at the same time. 0: $BATON_PROCS, else the CPUs that the
  // affinity mask and the cgroup quotas (of all groups above, too) allow, also when these change later. At most
  // 256; less than 0 counts as 0.
  int procs = 0;
  // Threads at most; those that are blocked in system calls count. At the limit, and when the system
  // refuses a thread, nothing fails: what is ready to run waits until one of the calls ends, and its thread then runs
  // that first. Said once on stderr. lock_os_thread() leaves one of them to the other fibers, if there are two or
  // more. 1 to 10,000; what is outside counts as the nearest.
  int max_threads = 10'000;
  // A thread that has had nothing to do for so long ends; procs and two more stay. max() of any duration: none
  // ends.
  time_limit idle_threads_end_after = std::chrono::seconds(30);
  // Usable bytes of a fiber's stack: address space, committed when touched. Rounded up to one of the sizes there
  // are: 16, 64, 256 KiB, 1 and 8 MiB. More than stack_size_max counts as that, with a line on stderr. Beneath it lies
  // a guard; a frame that is larger than that can step over it, unless it is compiled with -fstack-clash-protection.
  std::size_t stack_size = 256 * 1024;
  // A fiber that keeps its thread for so long, by computing or in a call that was not declared as
  // blocking, loses its processor to others (but not its thread). max(): never; less than 0
  // counts as 0.
  time_limit rescue_after = std::chrono::milliseconds(10);
  bool rescue = true;
  // Where SIGPIPE has its default action, it does nothing while the runtime is up: writing to a closed connection is an
  // error and not the end. Programs that the process executes have the default action again.
  bool ignore_sigpipe = true;
  deadlock_action on_deadlock = deadlock_action::report;
};

}  // namespace baton
