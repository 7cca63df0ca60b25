// "All fibers are asleep": the monitor finds out, when nobody has run for a while, whether anybody can
// still wake them. See deadlock.cc for what counts.
#pragma once

#include <baton/sched/agent.h>

namespace baton::sched {

// A thread inside run(): it only waits for the main fiber, so it wakes nobody. One object on its stack,
// for as long as it is there. Any thread that is no M.
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

// How many there are.
[[nodiscard]] int run_caller_count() noexcept;

enum class wakers : std::uint8_t {
  none,         // unless somebody has run since: the caller checks
  some,         // and when they come, a P is taken
  cannot_tell,  // a thread that may know the fibers, or one that is about to end: look again later
};

// For the monitor, while all Ps are idle. False: nobody is in run(), or a deadlock has been declared.
[[nodiscard]] bool deadlock_possible() noexcept;
[[nodiscard]] wakers find_wakers() noexcept;
// For a monitor that begins.
void forget_deadlock() noexcept;
// Reports; then, as option on_deadlock says, ends the process or returns.
void declare_deadlock() noexcept;

}  // namespace baton::sched
