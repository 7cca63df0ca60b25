#include <baton/runtime/detail/sleep_anyway.h>

#include <baton/sched/platform/clock.h>
#include <baton/sched/timer.h>
#include <baton/syscall/time.h>

#include <chrono>
#include <new>

namespace baton::detail {

void sleep_anyway(std::int64_t ns) noexcept {
  try {
    sched::sleep_until_ns(sched::platform::now_ns() + ns);
  } catch (const std::bad_alloc&) {
    static_cast<void>(sys::nanosleep(std::chrono::nanoseconds(ns)));
  }
}

}  // namespace baton::detail
