// The asymmetric fence: the side that runs often pays nothing, and the side that runs seldom pays for both.
//
//   often:  store A; light_fence(); load B
//   seldom: store B; heavy_fence(); load A
//
// At least one of the two loads sees the other side's store. heavy_fence() is membarrier(2) PRIVATE_EXPEDITED, which
// makes every running thread of the process execute a full fence. A thread that is not running passed a full fence when
// it was switched out. Where the kernel refuses membarrier, both sides are full fences (chosen once, at start).
// ThreadSanitizer does not model fences; under it, both sides are read-modify-writes on a shared word.
//
// A kernel that allowed membarrier at start may refuse it later, after the process has installed a filter of system
// calls. The often side cannot be made stronger at that point: the seldom side would have to wait for every thread that
// has stored A and is about to load B without a fence between, and nothing tells when such a thread is past its load.
// So heavy_fence() reports that it did not act as a fence, and its caller must do without the answer. From then on
// barriers() returns `refused`.
#pragma once

#include <baton/sched/platform/atomic.h>

namespace baton::sched::platform {

enum class barrier_kind : unsigned char { membarrier, fence, refused };

namespace detail {
extern bool strong_light_fence;  // written once before the first M starts, read-only afterwards
}

// Registers the process with the kernel. Requires: no other thread has been started, and this is the only call. Tests
// of the fallback set `force_fence`.
barrier_kind init_barriers(bool force_fence = false) noexcept;
barrier_kind barriers() noexcept;

inline void light_fence() noexcept {
#if BATON_TSAN
  full_fence();
#else
  compiler_fence();
  if (__builtin_expect(detail::strong_light_fence, 0)) full_fence();
#endif
}

// Takes about 0.4 us when no other thread of the process runs, and 2 to 10 us when one does. Returns false if it did
// not act as a fence; then nothing is known. Any thread may call it.
[[nodiscard]] bool heavy_fence() noexcept;

// Turns the heavy fence into nothing, although it still returns true. A test uses it to prove that the stress test of
// the baton rule detects violations.
void disable_heavy_fence_for_test(bool disabled) noexcept;

}  // namespace baton::sched::platform
