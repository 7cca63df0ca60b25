// Whether any M has been told that its slice is over, or is told so because it computes without a P, and has not
// heeded it: one word for the process, so that a call that may switch, but usually finds no reason to, pays one load
// for the question. The line is written when the monitor tells somebody (a hundred times a second and P at most)
// and when that one gives way; else every core has it.
//
// It is a hint: who sees it asks its own M (yield_if_due()).
#pragma once

#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::sched {

// How many, times `one`. baton_word.h counts: it is exact, but while a change is under way.
//
// A lock may use the number as what it expects of its own word when it is free, which is 0: then the load costs
// nothing, and the compare-and-swap fails as if somebody held the lock. It never is what the word of a mutex can be.
struct alignas(64) slice_notice {
  static constexpr std::uint32_t one = 1U << 8;
  platform::atomic<std::uint32_t> unhandled{0};
};
inline constinit slice_notice slices_over;

// (S) As yield_if_due(), but inline, and a load while nobody's slice is over. For the fast paths of user code.
inline void handle_slice_notice() noexcept {
  // relaxed: a hint, which may be old by a moment.
  if (slices_over.unhandled.load(platform::mo::relaxed) != 0) [[unlikely]]
    yield_if_due();
}

}  // namespace baton::sched
