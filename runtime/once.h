// Public API: baton::call_once, which calls a function once, in whichever agent comes first, like std::call_once.
//
//   waiter for the agent that calls      what is blocked
//   a fiber                              the fiber only, also while the function waits for something
//   a plain thread                       the thread
//
// Every call_once() returns when the function has returned. If the function throws, its caller gets the exception, and
// another agent, which waits or comes later, tries again. What the function wrote is visible to all callers that
// return. A function that calls call_once with the same flag waits for itself.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/slice_notice.h>
#include <baton/sched/waiter.h>

#include <cstdint>
#include <functional>
#include <utility>

namespace baton {

class once_flag;
template <class F, class... Args>
void call_once(once_flag& flag, F&& f, Args&&... args);

// May be destroyed as soon as a call_once() with it has returned and no other agent is inside one.
class once_flag {
 public:
  constexpr once_flag() noexcept = default;
  once_flag(const once_flag&) = delete;
  once_flag& operator=(const once_flag&) = delete;

 private:
  template <class F, class... Args>
  friend void call_once(once_flag& flag, F&& f, Args&&... args);

  static constexpr std::uint32_t called = 1;       // nothing else is set then
  static constexpr std::uint32_t calling_bit = 2;  // an agent calls
  static constexpr std::uint32_t waiting_bit = 4;  // waiters_ is not empty; only while an agent calls

  // Returns true if the caller has to call the function, and then to end the call. Returns false if the function has
  // been called. Switches.
  [[nodiscard]] bool begin() noexcept;
  bool enqueue(sched::waiter& w) noexcept;
  void end_done() noexcept;
  void end_failed() noexcept;

  sched::platform::atomic<std::uint32_t> word_{0};
  sched::platform::spin_lock list_lock_;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

// Calls f(args...) unless a call with this flag has returned before. Waits for a call that is under way. Switches.
template <class F, class... Args>
void call_once(once_flag& flag, F&& f, Args&&... args) {
  sched::handle_slice_notice();
  // acquire: pairs with the release in end_done().
  if (flag.word_.load(sched::platform::mo::acquire) == once_flag::called || !flag.begin()) return;
  struct ending {
    once_flag& of;
    bool done = false;
    ~ending() { done ? of.end_done() : of.end_failed(); }
  } at_end{flag};
  std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
  at_end.done = true;
}

}  // namespace baton
