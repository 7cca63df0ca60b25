// The head of a lock whose owner reports can name: its word, the lock of its list, and its owner.
//
// Code that was compiled for debugging writes the owner down (the lock's header says when), after it has got the lock.
// Only then it sets the bit `owned`. Code that frees the lock or hands it over clears the bit, however that code was
// compiled. So while the bit is set, `owner` is the agent that took the lock this time. Without the bit the owner is
// not known.
#pragma once

#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>

#include <cstdint>

namespace baton::sched {

struct lock_head {
  static constexpr std::uint32_t owned = 1U << 31;  // a bit of the word; the other bits belong to the lock

  platform::atomic<std::uint32_t> word{0};
  platform::spin_lock list_lock;
  platform::atomic<std::uint64_t> owner{0};  // a fiber's id; 0: a thread outside the runtime
};

struct agent;

// Notes for reports that the agent is about to wait for that lock. The note need not be taken back.
void waits_for_lock(agent* who, const lock_head& lock) noexcept;

struct fiber;

// Returns what a report says of the owner of the lock that f waits for, or "" if the owner is not known. f may go on
// meanwhile, and its lock may be gone, so the words may no longer be true. The caller must use them only if it sees
// that f was at the same place before and after.
struct owner_words {
  char text[64 + fiber_label_max] = "";
};
[[nodiscard]] owner_words describe_lock_owner(const fiber& f) noexcept;

}  // namespace baton::sched
