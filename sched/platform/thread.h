// Threads as the scheduler starts and tunes them.
#pragma once

#include <pthread.h>
#include <cstddef>
#include <cstdint>

namespace baton::sched::platform {

using thread_handle = pthread_t;

// Starts a thread that runs fn(arg) with all signals blocked but the synchronous ones (so that a
// process-directed signal goes to a thread of the application, and a crash still reports). Returns 0 or
// an errno. Somebody must join it. Never call it in a runtime section: it
// allocates and may block.
int start_thread(void (*fn)(void*), void* arg, const char* name, thread_handle* started) noexcept;
// Waits for its end.
void join_thread(thread_handle thread) noexcept;
// Nobody will.
void detach_thread(thread_handle thread) noexcept;

// 1 ns of timer slack for the calling thread: short sleeps end some 50 us earlier.
void set_precise_timers() noexcept;

std::int32_t thread_id() noexcept;

// The calling thread's own stack (for the sanitizers).
void thread_stack(void** bottom, std::size_t* size) noexcept;

}  // namespace baton::sched::platform
