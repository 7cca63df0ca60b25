// One wait of one agent, which several wakers may try to end: a primitive's own list, a deadline, a cancelled context.
// The waker that wins the claim, and no other, calls ready(). A waiter lives on the waiting agent's stack (or beside
// it), and is gone as soon as wait() has returned, so:
//   a claimant reads what it needs from the waiter *before* it readies the agent;
//   a list that holds the waiter is guarded by a lock, and the agent takes itself off that list (under the lock) when
//     another waker's claim ended the wait.
#pragma once

#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>

#include <cstdint>

namespace baton::sched {

class waiter {
 public:
  // How a wait ended. Primitives may use further values from `first_free` on.
  enum outcome : std::uint32_t { open = 0, signalled = 1, timed_out = 2, closed = 3, cancelled = 4, first_free = 8 };

  waiter() noexcept : who_(current_agent()) {}
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;

  // Requires: the waiter is not published yet.
  void prepare(wait_reason why) noexcept { prepare_park(who_, why); }

  // One compare-and-swap. Returns true for exactly one caller, which must then call ready() for the agent.
  [[nodiscard]] bool claim(std::uint32_t how) noexcept {
    std::uint32_t expected = open;
    // acq_rel: the claimant sees what the waiter wrote before it was published; the agent, after its wait, sees what
    // the claimant wrote before.
    return outcome_.compare_exchange_strong(expected, how, platform::mo::acq_rel, platform::mo::acquire);
  }
  [[nodiscard]] bool is_open() const noexcept { return outcome_.load(platform::mo::acquire) == open; }
  [[nodiscard]] agent* who() const noexcept { return who_; }

  // Claims with `how` and readies. Returns false if another waker had claimed it.
  bool wake(std::uint32_t how) noexcept {
    agent* const s = who_;
    if (!claim(how)) return false;
    ready(s);
    return true;
  }

  // Switches. Waits until the waiter is claimed, but no longer than deadline_ns (CLOCK_MONOTONIC; platform::forever_ns:
  // no deadline). When that has passed, the waiter claims itself with timed_out. Returns the outcome. No timer of the
  // wait runs any more when this returns. Inline: after a switch the CPU has the other fiber's return addresses in its
  // predictor, so each frame between a call that waits and the switch costs a wrong guess.
  std::uint32_t wait(std::int64_t deadline_ns = platform::forever_ns) noexcept {
    if (deadline_ns != platform::forever_ns) return wait_until(deadline_ns);
    park(who_);
    return outcome_.load(platform::mo::acquire);
  }

  // Links for the primitive that holds the waiter; free for any use.
  waiter* next = nullptr;
  waiter* prev = nullptr;
  void* data = nullptr;

 private:
  std::uint32_t wait_until(std::int64_t deadline_ns) noexcept;

  agent* who_;
  platform::atomic<std::uint32_t> outcome_{open};
};

// A FIFO of waiters, guarded by the lock of the object that holds it.
class waiter_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] waiter* front() const noexcept { return head_; }
  void push_back(waiter& w) noexcept {
    w.prev = tail_;
    w.next = nullptr;
    (tail_ != nullptr ? tail_->next : head_) = &w;
    tail_ = &w;
  }
  void push_front(waiter& w) noexcept {
    w.next = head_;
    w.prev = nullptr;
    (head_ != nullptr ? head_->prev : tail_) = &w;
    head_ = &w;
  }
  // Returns true if w is linked here.
  [[nodiscard]] bool contains(const waiter& w) const noexcept { return w.prev != nullptr || head_ == &w; }
  // Does nothing if w is not linked here.
  void remove(waiter& w) noexcept {
    if (!contains(w)) return;
    (w.prev != nullptr ? w.prev->next : head_) = w.next;
    (w.next != nullptr ? w.next->prev : tail_) = w.prev;
    w.next = w.prev = nullptr;
  }
  waiter* pop_front() noexcept {
    waiter* const w = head_;
    if (w == nullptr) return nullptr;
    head_ = w->next;
    (head_ != nullptr ? head_->prev : tail_) = nullptr;
    w->next = nullptr;
    return w;
  }
  // Takes waiters off until one could be claimed with `how`. The caller calls ready(w->who()) when it has written what
  // it wants the agent to see, and does not touch *w after that. Returns null if there was none to claim.
  [[nodiscard]] waiter* claim_front(std::uint32_t how) noexcept {
    while (waiter* const w = pop_front()) {
      if (w->claim(how)) return w;
    }
    return nullptr;
  }

 private:
  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
};

}  // namespace baton::sched
