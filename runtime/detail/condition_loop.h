// What condition_variable and condition_variable_any have in common. Internal.
#pragma once

#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::detail {

// Waits until done() is true or is_over() is. wait() returns false if the time has passed. Returns the last result of
// done(). It is called at least once, and after the end of the last wait.
template <class IsOver, class Wait, class Predicate>
bool wait_for_condition(const IsOver& is_over, const Wait& wait, Predicate& done) {
  while (!is_over()) {
    if (done()) return true;
    if (!wait()) break;
  }
  return done();
}

// For a deadline that was given in the clock of the waits: when a wait has come to it, it has come.
inline constexpr auto time_is_up = [] { return true; };

// Switches. Waits until the number is zero: each agent whose wait was ended otherwise, just when it was notified,
// counts itself out with its last access. `what` is for destructor_may_wait(), and says what happens if that is never.
void await_leaving(const sched::platform::atomic<std::uint32_t>& leaving, const char* what) noexcept;

}  // namespace baton::detail
