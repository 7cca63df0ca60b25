// The mutex says whether there is an owner. owner_ says which agent it is, so that the owner finds itself there. Any
// other agent may read a stale owner, but never its own name: it wrote `no_owner` over it before it gave the mutex up.
#include <baton/runtime/recursive_mutex.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/spawn.h>

namespace baton {

std::uint64_t recursive_mutex::self() noexcept {
  // Not the agent: inside a declared call that is the thread, but the fiber is still the owner.
  const std::uint64_t fiber = sched::current_fiber_id();
  if (fiber != 0) return fiber;
  constexpr std::uint64_t is_thread = std::uint64_t{1} << 63;  // ids of fibers are smaller
  return is_thread | reinterpret_cast<std::uintptr_t>(sched::current_agent());
}

void recursive_mutex::not_owned() noexcept { sched::fatal("unlock of a recursive_mutex that the caller does not own"); }

void recursive_mutex::too_deep() noexcept { sched::fatal("recursive_mutex: locked 2^32 times by its owner"); }

}  // namespace baton
