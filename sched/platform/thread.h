// Threads as the scheduler starts and tunes them. Nobody else in the library starts any: what a thread has
// from the one that starts it is decided here.
//
//   of the process          the signal mask and the timer slack of the threads that run fibers, and so of what
//                           user code starts there (threads, children): see note_process()
//   of C                    the floating-point mode
//   of whoever starts the   affinity, scheduling class and priority: the monitor has them from the thread that
//   runtime                 starts the runtime, all other threads from the monitor
//   their own               the name. A thread that user code starts in a fiber has it, too, until it is named
#pragma once

#include <pthread.h>
#include <cstddef>
#include <cstdint>

namespace baton::sched::platform {

using thread_handle = pthread_t;

// Notes what the threads started from here on have of the process. By the thread that starts the runtime, when there
// are no such threads.
void note_process() noexcept;

enum class signals_of_thread : std::uint8_t {
  as_the_process,  // the thread runs user code
  blocked          // none runs there, not even a handler: all are blocked but the synchronous ones and SIGPROF
};

// Starts a thread that runs fn(arg). Returns 0 or an errno. Somebody must join it, or detach it. Never call it in a
// runtime section: it allocates and may block.
int start_thread(void (*fn)(void*), void* arg, const char* name, signals_of_thread signals,
                 thread_handle* started) noexcept;
// Waits for its end.
void join_thread(thread_handle thread) noexcept;
// Joins it if it has ended, the destructors of its thread_locals included. False: it has not.
[[nodiscard]] bool join_thread_if_ended(thread_handle thread) noexcept;
// Nobody will.
void detach_thread(thread_handle thread) noexcept;

// 1 ns of timer slack for the calling thread: short sleeps end some 50 us earlier. Threads that it starts by
// start_thread() do not have it from there.
void set_precise_timers() noexcept;

// What to ask the kernel for, on a thread that runs fibers, so that a sleep does not end later than after `timeout_ns`
// because of the timer slack. It may end so much earlier.
[[nodiscard]] std::int64_t less_timer_slack(std::int64_t timeout_ns) noexcept;

// The rounding mode, the treatment of denormal numbers and the exceptions that trap, as a C program begins with them.
void set_default_fp_mode() noexcept;

std::int32_t thread_id() noexcept;

// The calling thread's own stack (for the sanitizers).
void thread_stack(void** bottom, std::size_t* size) noexcept;

}  // namespace baton::sched::platform
