// The side of the preloaded library: see sched/interposer.h.
#include "scheduler_side.h"

namespace baton::interpose {

constinit sched::platform::atomic<const sched::foreign_calls*> scheduler{nullptr};

}  // namespace baton::interpose

extern "C" __attribute__((visibility("default"))) bool baton_interpose_attach(
    unsigned version, const baton::sched::foreign_calls* functions) noexcept {
  if (version != baton::sched::foreign_calls_version) return false;
  const baton::sched::foreign_calls* none = nullptr;
  // release: pairs with the acquire of the wrappers.
  return baton::interpose::scheduler.compare_exchange_strong(none, functions, std::memory_order_release,
                                                             std::memory_order_relaxed);
}
