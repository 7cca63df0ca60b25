// The poll slot: one word for each side (read, write) of a descriptor. The poller, a deadline, close() and the one
// agent that waits for that side meet in it.
//
//   value     means                                        changed by
//   nil       not ready, as far as is known; no agent      the agent, before it tries the call
//             waits
//   ready     an edge came that is not used up yet         the poller; the agent that leaves the
//                                                          side without having emptied it
//   agent*    this agent waits for the side                the agent (arm); the thread that wakes it
//
// Transitions:
//   arm        nil -> agent      the agent, after prepare_park(); ready -> nil instead if an edge came
//   withdraw   agent -> nil      the agent, which found a reason not to wait after all
//   post       any -> ready      the poller; returns the agent that must be readied, if any
//   evict      agent -> nil      a deadline, a cancellation, close(); nil and ready stay
//   clear      ready -> nil      the agent, before it tries the call
//   mark       nil -> ready      the agent, which leaves the side possibly ready
//
// Invariants: the lock of the side (fd_mutex) admits one agent, so arm, withdraw, clear and mark have one caller at a
// time. Exactly one of withdraw, post and evict takes an armed agent out of the slot. Only that one may (and must)
// ready it, or cancel its park.
//
// The Dekker pair. The agent:  arm; load the failure flags.  A deadline or closer:  set a flag; evict. All four are
// seq_cst: either the agent sees the flag and withdraws, or evict sees the agent.
//
// Rejected: a fourth value "wait" between nil and agent, as in Go. There an agent may be published only once it has
// left its stack. Here the park word (sched/park_word.h) accepts a ready() that comes too early, so the agent is
// published at once, with one compare-and-swap less.
#pragma once

#include <baton/sched/agent.h>
#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::net {

namespace mo = sched::platform::mo;

class poll_slot {
 public:
  enum class [[nodiscard]] armed : std::uint8_t{
      waiting,    // published: park(), unless withdraw() succeeds first
      was_ready,  // an edge came and is now used up: cancel_park() and try the call
      busy,       // another agent waits here: the caller does not hold the side's lock
  };

  [[nodiscard]] armed arm(sched::agent* self) noexcept {
    std::uintptr_t seen = nil;
    // seq_cst: the first half of the Dekker pair; pairs with evict(). As a release it publishes the
    // prepared park word to post() and evict().
    if (word_.compare_exchange_strong(seen, to_word(self), mo::seq_cst, mo::seq_cst)) return armed::waiting;
    if (seen != ready) return armed::busy;
    // From ready only the owner of the side moves the word, so this is ready -> nil. seq_cst as in clear().
    word_.exchange(nil, mo::seq_cst);
    return armed::was_ready;
  }

  // Returns true if no waker saw the agent; the caller cancels its park. Returns false if a ready() is on its way; the
  // caller must park() for it.
  [[nodiscard]] bool withdraw(sched::agent* self) noexcept {
    std::uintptr_t seen = to_word(self);
    return word_.compare_exchange_strong(seen, nil, mo::acq_rel, mo::acquire);
  }

  // Readiness has come. The caller must ready the returned agent, if any.
  [[nodiscard]] sched::agent* post() noexcept {
    // acquire, and seq_cst below: a `ready` seen here was stored before a later clear(), and the call
    // that follows that clear() sees what the edge announced.
    std::uintptr_t seen = word_.load(mo::seq_cst);
    while (seen != ready) {
      // seq_cst: pairs with clear(); as an acquire it pairs with arm().
      if (word_.compare_exchange_weak(seen, ready, mo::seq_cst, mo::seq_cst)) return to_agent(seen);
    }
    return nullptr;
  }

  // A failure flag has been set. The caller must ready the returned agent, if any.
  [[nodiscard]] sched::agent* evict() noexcept {
    // seq_cst: the second half of the Dekker pair; pairs with arm().
    std::uintptr_t seen = word_.load(mo::seq_cst);
    while (seen != nil && seen != ready) {
      if (word_.compare_exchange_weak(seen, nil, mo::seq_cst, mo::seq_cst)) return to_agent(seen);
    }
    return nullptr;
  }

  // Uses up an edge; returns true if there was one. seq_cst, and a read-modify-write rather than a store: an edge that
  // comes after the system call looked must find nil here, so the word has to be nil before the kernel looks. Pairs
  // with post().
  bool clear() noexcept { return word_.exchange(nil, mo::seq_cst) == ready; }

  // The next use must try the call first. No agent waits here, so only post() runs at the same time, and it writes the
  // same value. release: pairs only with the next owner of the side, which comes through the side's lock.
  void mark() noexcept { word_.store(ready, mo::release); }

  // relaxed: a `ready` that is missed here is found by arm().
  [[nodiscard]] bool is_nil() const noexcept { return word_.load(mo::relaxed) == nil; }
  [[nodiscard]] bool is_ready() const noexcept { return word_.load(mo::relaxed) == ready; }
  [[nodiscard]] bool has_waiter() const noexcept {
    const std::uintptr_t seen = word_.load(mo::relaxed);
    return seen != nil && seen != ready;
  }

 private:
  static constexpr std::uintptr_t nil = 0;
  static constexpr std::uintptr_t ready = 1;

  static std::uintptr_t to_word(sched::agent* s) noexcept { return reinterpret_cast<std::uintptr_t>(s); }
  static sched::agent* to_agent(std::uintptr_t w) noexcept {
    return w == nil ? nullptr : reinterpret_cast<sched::agent*>(w);
  }

  sched::platform::atomic<std::uintptr_t> word_{ready};  // the first use tries the call
};

}  // namespace baton::net
