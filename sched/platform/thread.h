// Threads as the scheduler starts and tunes them. No other code in the library starts threads. This file decides what a
// thread inherits from its creator:
//
//   of the process          the signal mask and the timer slack of the threads that run fibers, and so of what
//                           user code starts there (threads, children): see note_process()
//   of C                    the floating-point mode
//   of the thread that      affinity, scheduling class and priority: the monitor inherits them from the thread
//   starts the runtime      that starts the runtime, and all other threads inherit them from the monitor
//   its own                 the name. A thread that user code starts in a fiber has it, too, until it is named
#pragma once

#include <pthread.h>
#include <cstddef>
#include <cstdint>

namespace baton::sched::platform {

using thread_handle = pthread_t;

// Records what threads started from here on inherit of the process. Called by the thread that starts the runtime.
// Requires: no such thread exists.
void note_process() noexcept;

enum class signals_of_thread : std::uint8_t {
  as_the_process,  // the thread runs user code
  blocked          // none runs there, not even a handler: all are blocked but the synchronous ones and SIGPROF
};

// Starts a thread that runs fn(arg). Returns 0 or an errno value. The caller must see to it that the thread is joined
// or detached. Never call it in a runtime section: it allocates and may block.
int start_thread(void (*fn)(void*), void* arg, const char* name, signals_of_thread signals,
                 thread_handle* started) noexcept;
// Waits until the thread has ended.
void join_thread(thread_handle thread) noexcept;
// Joins the thread if it has ended, including the destructors of its thread_locals. Returns false if it has not ended.
[[nodiscard]] bool join_thread_if_ended(thread_handle thread) noexcept;
// No thread will join it.
void detach_thread(thread_handle thread) noexcept;

// Gives the calling thread 1 ns of timer slack: its short sleeps end some 50 us earlier. Threads that it starts with
// start_thread() do not inherit this slack.
void set_precise_timers() noexcept;

// Returns the timeout to ask the kernel for, on a thread that runs fibers, so that the timer slack does not make a
// sleep last longer than `timeout_ns`. The sleep may end early by as much.
[[nodiscard]] std::int64_t less_timer_slack(std::int64_t timeout_ns) noexcept;

// Sets the rounding mode, the treatment of denormal numbers and the trapping exceptions as at the start of a C program.
void set_default_fp_mode() noexcept;

std::int32_t thread_id() noexcept;

// Returns the calling thread's own stack (for the sanitizers).
void thread_stack(void** bottom, std::size_t* size) noexcept;

}  // namespace baton::sched::platform
