// What a lock begins with that reports can say the owner of: its word, the lock of its list, and who owns it.
//
// The owner is written down by code that was compiled for debugging (the lock's header says when), after it has got
// the lock, and only then the bit `owned` is set. Whatever frees the lock or hands it over clears the bit, however
// it was compiled. So while the bit is set, `owner` is who took the lock this time; without it nobody is known.
#pragma once

#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>

#include <cstdint>

namespace baton::sched {

struct lock_head {
  static constexpr std::uint32_t owned = 1U << 31;  // of the word; the others are the lock's

  platform::atomic<std::uint32_t> word{0};
  platform::spin_lock list_lock;
  platform::atomic<std::uint64_t> owner{0};  // a fiber's id; 0: a thread outside the runtime
};

struct agent;

// The agent is about to wait for that lock: for reports. It need not be taken back.
void waits_for_lock(agent* who, const lock_head& lock) noexcept;

struct fiber;

// Who owns the lock that f waits for, if that is known: what the report says of it, else "". f may go on meanwhile,
// and its lock may be gone: what is not true any more is not used by who sees that f was at the same place before
// and after.
struct owner_words {
  char text[64 + fiber_label_max] = "";
};
[[nodiscard]] owner_words describe_lock_owner(const fiber& f) noexcept;

}  // namespace baton::sched
