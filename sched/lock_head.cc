// The lock is read as foreign memory (peek_memory.h): a fiber that is no longer at its wait may have destroyed it.
#include <baton/sched/lock_head.h>

#include <baton/sched/fiber.h>
#include <baton/sched/fiber_slab.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/peek_memory.h>
#include <baton/sched/spawn.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

namespace baton::sched {

namespace mo = platform::mo;

void waits_for_lock(agent* who, const lock_head& lock) noexcept {
  if (who->what == agent::kind::fiber) static_cast<fiber*>(who)->lock = &lock;
}

__attribute__((no_sanitize("thread"))) owner_words describe_lock_owner(const fiber& f) noexcept {
  owner_words words;
  if (f.reason != wait_reason::mutex || f.lock == nullptr) return words;
  std::byte copy[sizeof(lock_head)];
  if (!platform::peek_memory(reinterpret_cast<std::uintptr_t>(f.lock), copy, sizeof copy)) return words;
  std::uint32_t word = 0;
  std::uint64_t owner = 0;
  std::memcpy(&word, copy + offsetof(lock_head, word), sizeof word);
  std::memcpy(&owner, copy + offsetof(lock_head, owner), sizeof owner);
  if ((word & lock_head::owned) == 0) return words;
  char* const text = words.text;
  constexpr std::size_t size = sizeof words.text;
  if (owner == f.id) {
    std::snprintf(text, size, "mutex that it holds itself");
    return words;
  }
  if (owner == 0) {
    std::snprintf(text, size, "mutex that a thread outside the runtime holds");
    return words;
  }
  const auto id = static_cast<unsigned long long>(owner);
  const std::uint32_t n = fiber_entries();
  for (std::uint32_t i = 0; i < n; ++i) {
    const fiber& o = *fiber_entry_at(i);
    if (o.id != owner || !o.in_use.load(mo::relaxed)) continue;
    char quoted[fiber_label_max];
    quote_name(o.name, quoted);
    std::snprintf(text, size, "mutex that fiber %llu %s holds", id, quoted);
    return words;
  }
  std::snprintf(text, size, "mutex that fiber %llu locked, which has ended", id);
  return words;
}

}  // namespace baton::sched
