#include <baton/syscall/direct_call.h>
#include <baton/syscall/scheduling.h>

#include <cstring>

namespace baton::sys {

using detail::call;

result<void> sched_setaffinity(::pid_t thread, std::size_t size, const ::cpu_set_t* cpus) noexcept {
  return call<SYS_sched_setaffinity, void>(thread, size, cpus);
}
// The kernel writes as many bytes as it has CPUs for, and leaves the others as they are.
result<std::size_t> sched_getaffinity(::pid_t thread, std::size_t size, ::cpu_set_t* into) noexcept {
  const auto n = call<SYS_sched_getaffinity, std::size_t>(thread, size, into);
  if (n && *n < size) std::memset(reinterpret_cast<char*>(into) + *n, 0, size - *n);
  return n;
}
result<void> sched_setaffinity(::pid_t thread, const ::cpu_set_t& cpus) noexcept {
  return sys::sched_setaffinity(thread, sizeof cpus, &cpus);
}
result<::cpu_set_t> sched_getaffinity(::pid_t thread) noexcept {
  ::cpu_set_t cpus;
  if (const auto n = sys::sched_getaffinity(thread, sizeof cpus, &cpus); !n) return failure(n.error());
  return cpus;
}

// The kernel's answer is 20 - nice, so that it is never an error's number.
result<int> getpriority(int which, ::id_t who) noexcept {
  const auto answer = call<SYS_getpriority, int>(which, who);
  if (!answer) return answer;
  return 20 - *answer;
}
result<void> setpriority(int which, ::id_t who, int nice) noexcept {
  return call<SYS_setpriority, void>(which, who, nice);
}

}  // namespace baton::sys
