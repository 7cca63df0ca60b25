// Sleeping on a word of memory (futex(2), private to the process).
#pragma once

#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::sched::platform {

// Sleeps while *word == expected, until woken or until `deadline_ns` (CLOCK_MONOTONIC; forever_ns means no deadline).
// Returns false if the deadline passed. May return early because of a signal, or for no reason.
bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns) noexcept;

// Wakes up to n threads that sleep on the word. The word may no longer exist: the kernel only uses its address.
void futex_wake(const atomic<std::uint32_t>* word, int n) noexcept;

}  // namespace baton::sched::platform
