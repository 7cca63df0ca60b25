// See barrier.h for the pairing. The choice is made once and never changes while other threads run,
// so a plain bool is enough: thread creation orders the write before every read.
#include <baton/sched/platform/barrier.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace baton::sched::platform {

namespace detail {
bool strong_light_barrier = true;  // the safe side until init_barriers has asked the kernel
}

namespace {
bool heavy_disabled = false;  // tests only
}

barrier_kind init_barriers(bool force_fence) noexcept {
  bool registered = !force_fence && ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
                    ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
  detail::strong_light_barrier = !registered;
  return barriers();
}

barrier_kind barriers() noexcept {
  return detail::strong_light_barrier ? barrier_kind::fence : barrier_kind::membarrier;
}

void heavy_barrier() noexcept {
  if (heavy_disabled) return;
  if (BATON_TSAN || detail::strong_light_barrier) {
    full_fence();
    return;
  }
  ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void disable_heavy_barrier_for_test(bool disabled) noexcept { heavy_disabled = disabled; }

}  // namespace baton::sched::platform
