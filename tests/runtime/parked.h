// For tests that need "this fiber (or thread) waits now": the strand announces itself, and another
// watches its park word. No sleeping to let things happen.
#pragma once

#include <baton/sched/park.h>

#include <atomic>

namespace baton::test {

class watched_strand {
 public:
  // By the one who is going to wait, right before.
  void about_to_wait() { strand_.store(sched::current_strand(), std::memory_order_release); }

  // (S) Until it has parked. By somebody else, before anybody may wake it.
  void await_parked() const {
    for (;;) {
      sched::strand* const s = strand_.load(std::memory_order_acquire);
      if (s != nullptr && s->word.peek() == sched::park_word::parked) return;
      sched::yield();
    }
  }

 private:
  std::atomic<sched::strand*> strand_{nullptr};
};

}  // namespace baton::test
