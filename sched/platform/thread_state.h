// What a thread of this process is doing, seen from another one without disturbing it: no signal, no
// ptrace. Nothing is allocated, and none of it takes the lock of the process's memory map, on which a
// thread that faults might sleep. Each answer can be "unknown": the thread is gone, /proc is not
// mounted, the kernel lacks CONFIG_SCHEDSTATS or CONFIG_HAVE_ARCH_TRACEHOOK.
//
// What a read costs (a virtual machine with Linux 6.18, 2.5 GHz AMD EPYC):
//   thread_cpu_ns         0.4 us
//   thread_run_delay_ns   6 us
//   thread_letter         9 us    the kernel formats fifty fields for the one that counts
//   thread_call           8 us
#pragma once

#include <cstdint>

namespace baton::sched::platform {

// CPU time that the thread has used; -1: unknown. Its own CPU clock, no file.
[[nodiscard]] std::int64_t thread_cpu_ns(std::int32_t tid) noexcept;

// How long it has waited for a CPU, altogether; -1: unknown.
[[nodiscard]] std::int64_t thread_run_delay_ns(std::int32_t tid) noexcept;

// The state letter of proc(5): R runs or waits for a CPU, S sleeps, D sleeps and cannot be woken,
// T stopped, Z and X ended; '\0': unknown.
[[nodiscard]] char thread_letter(std::int32_t tid) noexcept;

// Whether it runs or waits for a CPU; false also if that is unknown.
[[nodiscard]] inline bool thread_is_runnable(std::int32_t tid) noexcept { return thread_letter(tid) == 'R'; }

// How many threads this process has, those that are about to end included; -1: unknown. Some 2 us.
[[nodiscard]] int thread_count() noexcept;

struct thread_call_state {
  enum class kind : std::uint8_t {
    unknown,  // nothing else here counts
    running,  // or runnable, also inside a call; the kernel tells no address then
    in_call,  // blocked in a system call
    outside,  // blocked in the kernel, but not by a call: a page fault, a stop
  };
  kind what = kind::unknown;
  long number = -1;                  // of the call; in_call only
  std::uintptr_t arguments[6] = {};  // in_call only
  std::uintptr_t sp = 0;             // in_call and outside
  std::uintptr_t pc = 0;             // likewise: where it goes on in user code
};

[[nodiscard]] thread_call_state thread_call(std::int32_t tid) noexcept;

}  // namespace baton::sched::platform
