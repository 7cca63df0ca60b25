// For tests that need "this fiber (or thread) waits now": the agent announces itself, and another
// watches its park word. No sleeping to let things happen.
#pragma once

#include <baton/sched/park.h>

#include <atomic>
#include <thread>

namespace baton::test {

class watched_agent {
 public:
  // By the one who is going to wait, right before.
  void about_to_wait() { agent_.store(sched::current_agent(), std::memory_order_release); }

  // (S) Until it has parked. By somebody else, before anybody may wake it.
  void await_parked() const {
    while (!has_parked()) sched::yield();
  }
  // The same for a plain thread, by a fiber that does not let others run on its P.
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
