// A wait for a fiber's end that another thread may end as well. join.cc has the protocol.
//
//   revocable_join j(f);  if (!j.begin()) return true;  let others call j.revoke();  ended = j.park();  stop them
#pragma once

#include <cstdint>

namespace baton::sched {

struct agent;
struct fiber;

class revocable_join {
 public:
  // Of the caller: the agent that waits. Lives until no other thread can call revoke().
  explicit revocable_join(fiber* f) noexcept;
  revocable_join(const revocable_join&) = delete;
  revocable_join& operator=(const revocable_join&) = delete;

  // Puts the agent into the join word. Returns false if the fiber has ended; the agent is not prepared then. Aborts if
  // the fiber is the caller, or another agent joins it. Switches, if the fiber is about to end.
  [[nodiscard]] bool begin() noexcept;

  // After begin(), by any thread, but once. Ends the wait, unless the fiber has ended. Never switches.
  void revoke() noexcept;

  // After begin(). Waits until the fiber has ended or the wait was revoked. Returns true if the fiber has ended.
  // Switches.
  [[nodiscard]] bool park() noexcept;

 protected:
  // Returns true if the agent was taken out of the word, by this call; the caller readies it, or is it. Returns false
  // if the fiber has ended, which readies the agent.
  [[nodiscard]] bool take_back() noexcept;
  // Returns true if the agent is in the word.
  [[nodiscard]] bool in_word() const noexcept;
  [[nodiscard]] std::uintptr_t word() const noexcept;

  fiber* const of_;
  agent* const who_;
  bool revoked_ = false;  // written before the ready() of the agent
};

}  // namespace baton::sched
