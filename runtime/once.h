// baton::call_once: a function that is called once, whoever comes first. As std::call_once.
//
//   who waits for the one that calls     what is blocked
//   a fiber                              the fiber only, also while the function waits for something
//   a plain thread                       the thread
//
// Everybody returns when the function has. If it throws, its caller gets the exception, and another
// one that waits, or comes later, tries again. What the function wrote is visible to all who return.
// A function that calls call_once with the same flag waits for itself.
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

// May be destroyed as soon as a call_once() with it has returned and nobody else is inside one.
class once_flag {
 public:
  constexpr once_flag() noexcept = default;
  once_flag(const once_flag&) = delete;
  once_flag& operator=(const once_flag&) = delete;

 private:
  template <class F, class... Args>
  friend void call_once(once_flag& flag, F&& f, Args&&... args);

  static constexpr std::uint32_t called = 1;       // nothing else is set then
  static constexpr std::uint32_t calling_bit = 2;  // somebody calls
  static constexpr std::uint32_t waiting_bit = 4;  // waiters_ is not empty; only while somebody calls

  // (S) True: the caller is the one to call, and then to end it. False: it has been done.
  [[nodiscard]] bool begin() noexcept;
  bool enqueue(sched::waiter& w) noexcept;
  void end_done() noexcept;
  void end_failed() noexcept;

  sched::platform::atomic<std::uint32_t> word_{0};
  sched::platform::spin_lock list_lock_;
  sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

// (S) Calls f(args...) unless a call with this flag has returned before; waits for one that is under way.
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
