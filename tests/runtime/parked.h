// For tests that need to know that a fiber (or thread) waits now: the agent announces itself, and another agent watches
// its park word. No test sleeps to let things happen.
#pragma once

#include <baton/sched/park.h>

#include <atomic>
#include <thread>

namespace baton::test {

class watched_agent {
 public:
  // Called by the agent that is going to wait, right before it does.
  void about_to_wait() { agent_.store(sched::current_agent(), std::memory_order_release); }

  // Waits until the agent has parked. Called by another agent, before the first may be woken. Switches.
  void await_parked() const {
    while (!has_parked()) sched::yield();
  }
  // The same for a watched plain thread. Called by a fiber that must not let others run on its P.
  void await_parked_without_switching() const {
    while (!has_parked()) std::this_thread::yield();
  }

 private:
  [[nodiscard]] bool has_parked() const {
    sched::agent* const s = agent_.load(std::memory_order_acquire);
    return s != nullptr && s->word.peek() == sched::park_word::parked;
  }

  std::atomic<sched::agent*> agent_{nullptr};
};

}  // namespace baton::test
