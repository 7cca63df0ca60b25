// The asymmetric barrier: the side that runs often pays nothing, the side that runs seldom pays for
// both.
//
//   often:  store A; light_fence(); load B
//   seldom: store B; heavy_fence(); load A
//
// At least one of the two loads sees the other side's store. heavy_fence() is membarrier(2)
// PRIVATE_EXPEDITED, which makes every running thread of the process execute a full fence; a thread
// that is not running has passed one when it was switched out. Where the kernel refuses membarrier
// both sides are full fences (chosen once, at start); under ThreadSanitizer, which does not see
// fences, both are read-modify-writes on a shared word.
//
// A kernel that allowed it at start may refuse it later: the process has installed a filter of system calls. The
// often side then cannot be made stronger any more: a thread that has stored A and is about to load B with no fence
// between would have to be waited for, and nothing says when it is past that. So heavy_fence() says that it was
// none, and who called it must do without what it wanted to know. From then on barriers() says `refused`.
#pragma once

#include <baton/sched/platform/atomic.h>

namespace baton::sched::platform {

enum class barrier_kind : unsigned char { membarrier, fence, refused };

namespace detail {
extern bool strong_light_fence;  // written once before the first M starts, read-only afterwards
}

// Registers the process with the kernel. Call it once, before the first other thread starts.
// `force_fence` is for tests of the fallback.
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

// About 0.4 us when no other thread of the process runs, 2 to 10 us when one does. False: there was none, and nothing
// is known. Any thread.
[[nodiscard]] bool heavy_fence() noexcept;

// For the test that proves that the stress of the baton rule can see: a heavy fence that is none, and says that it
// was one.
void disable_heavy_fence_for_test(bool disabled) noexcept;

}  // namespace baton::sched::platform
