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

#include <algorithm>
#include <cstdint>

namespace baton::sched::platform {

// Returns the CPU time that the thread has used, or -1 if it is unknown. Reads the thread's CPU clock, no file.
[[nodiscard]] std::int64_t thread_cpu_ns(std::int32_t tid) noexcept;

// The CPU time that a thread had used at one point in time. What the monitor remembers of a thread is one of these.
struct cpu_mark {
  std::int64_t at_ns = 0;
  std::int64_t cpu_ns = -1;  // -1: not read, or unknown

  [[nodiscard]] static cpu_mark read(std::int32_t tid, std::int64_t now_ns) noexcept {
    return {now_ns, thread_cpu_ns(tid)};
  }
  [[nodiscard]] std::int64_t used_until(const cpu_mark& later) const noexcept { return later.cpu_ns - cpu_ns; }
  [[nodiscard]] std::int64_t time_until(const cpu_mark& later) const noexcept { return later.at_ns - at_ns; }
};

// Returns how long the thread has waited for a CPU in total, or -1 if that is unknown.
[[nodiscard]] std::int64_t thread_run_delay_ns(std::int32_t tid) noexcept;

// As cpu_mark, and how long the thread had waited for a CPU.
struct run_mark {
  cpu_mark cpu;
  std::int64_t delay_ns = 0;

  [[nodiscard]] static run_mark read(std::int32_t tid, std::int64_t now_ns) noexcept {
    return {cpu_mark::read(tid, now_ns), thread_run_delay_ns(tid)};
  }
  // Returns true if the thread used the CPU for less than a tenth of the time between the marks.
  [[nodiscard]] bool idle_until(const run_mark& later) const noexcept {
    return 10 * cpu.used_until(later.cpu) < std::max<std::int64_t>(1, cpu.time_until(later.cpu));
  }
  // Returns true if it did not wait for a CPU either.
  [[nodiscard]] bool asleep_until(const run_mark& later) const noexcept {
    return idle_until(later) && 10 * (later.delay_ns - delay_ns) < std::max<std::int64_t>(1, cpu.time_until(later.cpu));
  }
};

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
