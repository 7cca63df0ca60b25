// Public API: baton::condition_variable, like std's, for baton::mutex and baton::shared_mutex. A wait blocks the fiber
// (or the plain thread), never a fiber's thread.
//
// A waiter checks its condition under the mutex, and waits. The agent that changes the condition does so under the same
// mutex, and notifies while it holds the mutex or after that. With a shared_mutex a waiter may hold it for reading or
// for writing; the agent that changes the condition must hold it for writing. Waiters are woken in the order in which
// they came, however they hold the mutex. There is no wake without a notify (but see wait_until()). Another fiber may
// have changed the condition again before the woken one has the mutex, so wait in a loop, or with a predicate.
//
// A condition_variable may be destroyed when all its waiters have been notified, even if some have not come back. The
// destructor switches, but only to let waiters leave whose wait was ended otherwise just when they were notified.
#pragma once

#include <baton/runtime/detail/condition_waits.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/shared_mutex.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <type_traits>

namespace baton {

namespace detail {
template <class Lock>
struct is_condition_lock : std::false_type {};
template <>
struct is_condition_lock<std::unique_lock<mutex>> : std::true_type {};
template <>
struct is_condition_lock<std::unique_lock<shared_mutex>> : std::true_type {};
template <>
struct is_condition_lock<std::shared_lock<shared_mutex>> : std::true_type {};
}  // namespace detail

// wait(), wait_for() and wait_until() are in detail/condition_waits.h: with and without a predicate, a stop token, a
// context. They take a std::unique_lock<mutex>, a std::unique_lock<shared_mutex> or a std::shared_lock<shared_mutex>,
// and abort if it does not hold its mutex.
class condition_variable : public detail::condition_waits<condition_variable, detail::is_condition_lock> {
 public:
  constexpr condition_variable() noexcept = default;
  ~condition_variable() {
    // A waiter whose time was up may have emptied the list, so that no notify was needed, and may still be at the
    // lock. Its unlock is its last access.
    { const sched::platform::lock_guard guard(list_lock_); }
    // acquire: pairs with the release of the waiters that leave; it is their last access.
    if (leaving_.load(sched::platform::mo::acquire) != 0) [[unlikely]]
      detail::await_leaving(leaving_, "a condition_variable leaves those whose wait has ended");
  }
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  // Wake the agent that has waited longest, or all. Cost a load if there is no waiter. Never switch.
  void notify_one() noexcept {
    // relaxed: a waiter publishes itself before it unlocks the mutex, and the notifier has held the mutex since then
    // (to change the condition). If the notifier has not, it came before the waiter checked the condition.
    const std::uintptr_t seen = word_.load(sched::platform::mo::relaxed);
    if (seen != none) notify_slow(seen, false);
  }
  void notify_all() noexcept {
    // relaxed: as above.
    const std::uintptr_t seen = word_.load(sched::platform::mo::relaxed);
    if (seen != none) notify_slow(seen, true);
  }

 private:
  friend condition_waits;

  template <class Link, class Lock, class Source>
  std::uint32_t wait_ended_by(Lock& lock, std::int64_t deadline_ns, const Source& source) {
    if (!lock.owns_lock()) [[unlikely]]
      not_held();
    constexpr bool is_linked = !std::is_same_v<Link, detail::no_link>;
    sched::waiter w;
    add(w, is_linked || deadline_ns != sched::platform::forever_ns);
    lock.unlock();
    std::uint32_t how = sched::waiter::open;
    {
      [[maybe_unused]] const Link link(source, w);
      how = w.wait(deadline_ns);
    }
    // open: the notifier has swapped the waiter out of the word, and claims nothing.
    if (how != sched::waiter::signalled && how != sched::waiter::open) leave(w);
    lock.lock();
    return how;
  }
  [[noreturn]] static void not_held() noexcept;
  void add(sched::waiter& w, bool may_leave) noexcept;
  void notify_slow(std::uintptr_t seen, bool all) noexcept;
  bool notify_listed(bool all) noexcept;
  void enqueue(sched::waiter& w) noexcept;
  void leave(sched::waiter& w) noexcept;

  // Values of the word; any other one is a waiter*. See condition_variable.cc.
  static constexpr std::uintptr_t none = 0;
  static constexpr std::uintptr_t listed = 1;

  sched::platform::atomic<std::uintptr_t> word_{none};
  sched::platform::spin_lock list_lock_;
  sched::platform::atomic<std::uint32_t> leaving_{0};  // ended otherwise, and taken off by a notifier
  sched::waiter_list waiters_ ABSL_GUARDED_BY(list_lock_);
};

}  // namespace baton
