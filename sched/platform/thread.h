// Threads as the scheduler starts and tunes them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace baton::sched::platform {

// Starts a detached thread that runs fn(arg) with all signals blocked but the synchronous ones
// (so that a process-directed signal goes to a thread of the application, and a crash still reports).
// Returns 0 or an errno. Never call it in a runtime section: it allocates and may block.
int start_thread(void (*fn)(void*), void* arg, const char* name) noexcept;

// 1 ns of timer slack for the calling thread: short sleeps end some 50 us earlier.
void set_precise_timers() noexcept;

std::int32_t thread_id() noexcept;

// CPU time that a thread of this process has used; 0 if it is gone.
std::int64_t thread_cpu_ns(std::int32_t tid) noexcept;
// How long it has waited for a CPU, altogether; 0 if the kernel does not say. Reads /proc.
std::int64_t thread_run_delay_ns(std::int32_t tid) noexcept;
// Whether it runs or waits for a CPU, rather than sleeps in the kernel. Reads /proc.
bool thread_is_runnable(std::int32_t tid) noexcept;

// The calling thread's own stack (for the sanitizers).
void thread_stack(void** bottom, std::size_t* size) noexcept;

// CPUs that the affinity mask of the process allows; at least 1.
int allowed_cpus() noexcept;

}  // namespace baton::sched::platform
