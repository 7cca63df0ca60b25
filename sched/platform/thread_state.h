// What another thread of this process is doing, observed without disturbing it: no signal, no ptrace. Nothing here
// allocates, and nothing takes the lock of the process's memory map, on which a faulting thread might sleep. Each
// answer can be "unknown": the thread is gone, /proc is not mounted, or the kernel lacks CONFIG_SCHEDSTATS or
// CONFIG_HAVE_ARCH_TRACEHOOK.
//
// What a read costs (a virtual machine with Linux 6.18, 2.5 GHz AMD EPYC):
//   thread_cpu_ns         0.4 us
//   thread_run_delay_ns   6 us
//   thread_letter         9 us    the kernel formats fifty fields for the one that counts
//   thread_call           8 us
#pragma once

#include <cstdint>

namespace baton::sched::platform {

// Returns the CPU time that the thread has used, or -1 if it is unknown. Reads the thread's CPU clock, no file.
[[nodiscard]] std::int64_t thread_cpu_ns(std::int32_t tid) noexcept;

// Returns how long the thread has waited for a CPU in total, or -1 if that is unknown.
[[nodiscard]] std::int64_t thread_run_delay_ns(std::int32_t tid) noexcept;

// Returns the state letter of proc(5): R runs or waits for a CPU, S sleeps, D sleeps and cannot be woken, T stopped, Z
// and X ended. Returns '\0' if the state is unknown.
[[nodiscard]] char thread_letter(std::int32_t tid) noexcept;

// Returns true if the thread runs or waits for a CPU, and false if it does not or if that is unknown.
[[nodiscard]] inline bool thread_is_runnable(std::int32_t tid) noexcept { return thread_letter(tid) == 'R'; }

// Returns how many threads this process has, including those that are about to end, or -1 if that is unknown. Takes
// some 2 us.
[[nodiscard]] int thread_count() noexcept;

struct thread_call_state {
  enum class kind : std::uint8_t {
    unknown,  // no other field counts
    running,  // or runnable, also inside a call; the kernel tells no address then
    in_call,  // blocked in a system call
    outside,  // blocked in the kernel, but not by a call: a page fault, a stop
  };
  kind what = kind::unknown;
  long number = -1;                  // of the call; in_call only
  std::uintptr_t arguments[6] = {};  // in_call only
  std::uintptr_t sp = 0;             // in_call and outside
  std::uintptr_t pc = 0;             // in_call and outside: where the thread resumes in user code
};

[[nodiscard]] thread_call_state thread_call(std::int32_t tid) noexcept;

}  // namespace baton::sched::platform
