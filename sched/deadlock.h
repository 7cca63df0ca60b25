// "All fibers are asleep": when no fiber has run for some time, the monitor finds out whether any thread can still wake
// one. deadlock.cc says what counts.
#pragma once

#include <baton/sched/agent.h>

namespace baton::sched {

// A thread inside run(): it only waits for the main fiber, so it wakes no other fiber. There is one object on its
// stack, for as long as it is there. Any thread that is no M may make one.
class run_caller {
 public:
  run_caller() noexcept;
  ~run_caller();
  run_caller(const run_caller&) = delete;
  run_caller& operator=(const run_caller&) = delete;

 private:
  friend struct run_callers;
  const agent* who_;
  run_caller* next_ = nullptr;
  run_caller* prev_ = nullptr;
};

// Returns how many there are.
[[nodiscard]] int run_caller_count() noexcept;

enum class wakers : std::uint8_t {
  none,         // unless a fiber has run since: the caller checks this
  some,         // when they come, a P is taken
  cannot_tell,  // a thread may know the fibers, or is about to end: look again later
};

// For the monitor, while all Ps are idle. Returns false if no thread is in run(), or if a deadlock has been declared.
[[nodiscard]] bool deadlock_possible() noexcept;
[[nodiscard]] wakers find_wakers() noexcept;
// For a monitor that begins.
void forget_deadlock() noexcept;
// Reports the deadlock. Then it ends the process or returns, as the option on_deadlock says.
void declare_deadlock() noexcept;

}  // namespace baton::sched
