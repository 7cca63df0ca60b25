// asymmetric_fence.h has the pairing. init_barriers() decides once what a light fence is. The choice never changes
// while other threads run, so a plain bool is enough: thread creation orders the write before every read. Once the
// kernel refuses heavy fences, it refuses them for good: a process can never remove a filter of system calls.
#include <baton/sched/platform/asymmetric_fence.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>

namespace baton::sched::platform {

namespace detail {
bool strong_light_fence = true;  // the safe choice until init_barriers has asked the kernel
}

namespace {
bool heavy_disabled = false;  // tests only
atomic<bool> refused{false};
}  // namespace

barrier_kind init_barriers(bool force_fence) noexcept {
  bool registered = !force_fence && ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
                    ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
  detail::strong_light_fence = !registered;
  return barriers();
}

barrier_kind barriers() noexcept {
  if (detail::strong_light_fence) return barrier_kind::fence;
  // relaxed: the threads that depend on a refusal learn of it from heavy_fence().
  return refused.load(mo::relaxed) ? barrier_kind::refused : barrier_kind::membarrier;
}

bool heavy_fence() noexcept {
  if (heavy_disabled) return true;
  if (BATON_TSAN || detail::strong_light_fence) {
    full_fence();
    return true;
  }
  if (refused.load(mo::relaxed)) return false;
  const int error = errno;
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return true;
  // ENOMEM: the next attempt may succeed. Every other error is a refusal.
  if (errno != ENOMEM) refused.store(true, mo::relaxed);
  errno = error;
  return false;
}

void disable_heavy_fence_for_test(bool disabled) noexcept { heavy_disabled = disabled; }

}  // namespace baton::sched::platform
