// Tells whether any M has a notice that its slice is over (or has it because its fiber computes without a P) and has
// not handled it. It is one word for the process, so that a call that may switch, but usually finds no reason to, pays
// one load for the question. The cache line is written when the monitor tells an M (a hundred times a second and P at
// most) and when that M gives way. Otherwise every core has it.
//
// The word is a hint: a caller that sees it asks its own M (yield_if_due()).
#pragma once

#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>

#include <cstdint>

namespace baton::sched {

// How many Ms have the notice, times `one`. baton_word.h counts. The number is exact, except while a change is under
// way.
//
// A lock may use the number as the value that it expects of its own word when it is free, which is 0. The load then
// costs nothing, and the compare-and-swap fails as if the lock were held. The number is never a value that the word of
// a mutex can have.
struct alignas(64) slice_notice {
  static constexpr std::uint32_t one = 1U << 8;
  platform::atomic<std::uint32_t> unhandled{0};
};
inline constinit slice_notice slices_over;

// Switches. As yield_if_due(), but inline, and only a load while no M's slice is over. For the fast paths of user code.
inline void handle_slice_notice() noexcept {
  // relaxed: a hint, which may be a moment old.
  if (slices_over.unhandled.load(platform::mo::relaxed) != 0) [[unlikely]]
    yield_if_due();
}

}  // namespace baton::sched
