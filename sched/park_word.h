// The park word: one word per agent (fiber or plain thread) that matches each park with exactly one ready.
//
//   state     owner of the stack                       on a run queue
//   running   the agent                                no, unless a ready() has just queued it
//   parking   the agent; it is about to leave          no; from here on ready() is allowed
//   woken     the agent; ready() came before it left   no; the agent, or the context that it has switched to, sees
//                                                      this and lets the agent continue
//   parked    none                                     no; the next ready() queues it
//
// Transitions:
//   prepare   running -> parking     the agent, before it publishes itself to a waker
//   commit    parking -> parked      the after-action, which the next context executes after the switch, so a waker
//                                    can never run a fiber that still executes on its own stack. A plain thread commits
//                                    itself. Fails if the state is woken
//   resume    woken -> running       the agent, before it leaves its stack, or the after-action whose commit failed
//   cancel    parking -> running     cancel_park(): the agent found that it need not wait
//   retract   parked -> parking      park_thread_until(): a plain thread whose time is up stops waiting
//   ready     parking -> woken, or parked -> running (the waker then queues it)
//
// A ready() in running or woken is a second one for the same park: a bug, reported by an abort.
// Rejected: holding the waker's lock across the switch. That would need no park word, but the kernel could deschedule
// the thread in the middle of a switch, and the lock would stay held meanwhile.
#pragma once

#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::sched {

class park_word {
 public:
  enum state : std::uint32_t { running, parking, woken, parked };
  enum class woke { before_the_switch, from_parked, twice };

  // relaxed: what publishes the agent (a lock, a release store) orders this before any ready().
  void prepare() noexcept { word_.store(parking, platform::mo::relaxed); }

  // Returns true if the agent is parked now, false if it was woken meanwhile and is running again.
  [[nodiscard]] bool commit() noexcept {
    std::uint32_t expected = parking;
    // release: pairs with the acquire in ready(); the thread that queues the agent sees its saved context.
    // acquire on failure: pairs with ready()'s release; the agent sees what the waker wrote.
    if (word_.compare_exchange_strong(expected, parked, platform::mo::release, platform::mo::acquire)) return true;
    word_.store(running, platform::mo::relaxed);
    return false;
  }

  // Returns true if ready() came before the switch: the agent is running again and must not switch.
  [[nodiscard]] bool woken_already() noexcept {
    // acquire: as in commit().
    if (word_.load(platform::mo::acquire) != woken) return false;
    word_.store(running, platform::mo::relaxed);
    return true;
  }

  [[nodiscard]] woke ready() noexcept {
    // acquire: pairs with commit(). Only one ready() per park exists, so once the word says parked, no other thread
    // writes it, and a plain store is enough: no locked instruction.
    std::uint32_t seen = word_.load(platform::mo::acquire);
    if (seen == parking) {
      // acq_rel: release for the agent that runs on, acquire for the case that it has committed.
      if (word_.compare_exchange_strong(seen, woken, platform::mo::acq_rel, platform::mo::acquire)) {
        return woke::before_the_switch;
      }
    }
    if (seen != parked) return woke::twice;
    word_.store(running, platform::mo::relaxed);  // the run queue publishes it
    return woke::from_parked;
  }

  [[nodiscard]] state peek() const noexcept { return static_cast<state>(word_.load(platform::mo::relaxed)); }

  // For a plain thread, which sleeps on the word itself: see park_thread() in park.cc.
  [[nodiscard]] platform::atomic<std::uint32_t>& futex() noexcept { return word_; }

 private:
  platform::atomic<std::uint32_t> word_{running};
};

}  // namespace baton::sched
