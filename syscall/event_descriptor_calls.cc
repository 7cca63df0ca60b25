#include <baton/sched/platform/clock.h>
#include <baton/syscall/event_descriptors.h>
#include <baton/syscall/typed_call.h>

#include <limits.h>
#include <algorithm>

namespace baton::sys {

using detail::call;
using detail::named_call;
using detail::on_eintr;

result<int> eventfd(unsigned value, int flags) noexcept { return call<SYS_eventfd2, int>(value, flags); }

result<int> timerfd_create(int clock, int flags) noexcept { return call<SYS_timerfd_create, int>(clock, flags); }
result<void> timerfd_settime(int fd, int flags, const ::itimerspec& value, ::itimerspec* former) noexcept {
  return call<SYS_timerfd_settime, void>(fd, flags, &value, former);
}
result<::itimerspec> timerfd_gettime(int fd) noexcept {
  ::itimerspec value{};
  if (const auto got = call<SYS_timerfd_gettime, void>(fd, &value); !got) return failure(got.error());
  return value;
}

result<int> inotify_init1(int flags) noexcept { return call<SYS_inotify_init1, int>(flags); }
result<int> inotify_add_watch(int fd, const c_string& path, std::uint32_t mask) noexcept {
  return named_call<SYS_inotify_add_watch, int>(fd, path, mask);
}
result<void> inotify_rm_watch(int fd, int watch) noexcept { return call<SYS_inotify_rm_watch, void>(fd, watch); }

// The kernel's set of signals has 8 bytes, which are the first of the C library's.
result<int> signalfd(int fd, const ::sigset_t& signals, int flags) noexcept {
  return call<SYS_signalfd4, int>(fd, &signals, 8, flags);
}

result<int> epoll_create1(int flags) noexcept { return call<SYS_epoll_create1, int>(flags); }
result<void> epoll_ctl(int set, int operation, int fd, ::epoll_event* event) noexcept {
  return call<SYS_epoll_ctl, void>(set, operation, fd, event);
}

// epoll_pwait, because aarch64 has no epoll_wait. What is left of the time is rounded up to milliseconds, so the wait
// is never too short.
result<int> epoll_wait(int set, std::span<::epoll_event> into, int timeout_ms) noexcept {
  using sched::platform::now_ns;
  constexpr std::int64_t ns_per_ms = 1'000'000;
  const int room = static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX));
  const auto wait = [=](int ms) noexcept {
    return call<SYS_epoll_pwait, int, on_eintr::report>(set, into.data(), room, ms, nullptr, 0L);
  };
  if (timeout_ms == 0) return wait(0);
  const std::int64_t deadline = timeout_ms < 0 ? 0 : now_ns() + timeout_ms * ns_per_ms;
  return blocking([=]() noexcept -> result<int> {
    for (;;) {
      const std::int64_t left = timeout_ms < 0 ? 0 : std::max<std::int64_t>(deadline - now_ns(), 0);
      const auto r = wait(timeout_ms < 0 ? -1 : static_cast<int>((left + ns_per_ms - 1) / ns_per_ms));
      if (r.error() != EINTR) return r;
    }
  });
}

}  // namespace baton::sys
