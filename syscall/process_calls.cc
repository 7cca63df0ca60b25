// The limits go through prlimit64, whose struct is the C library's struct rlimit on 64-bit machines.
#include <baton/syscall/processes.h>
#include <baton/syscall/typed_call.h>

#include <cerrno>

namespace baton::sys {

using detail::blocking_call;
using detail::call;

static_assert(sizeof(::rlimit) == 16, "prlimit64 takes two 64-bit words");

result<::pid_t> getpid() noexcept { return call<SYS_getpid, ::pid_t>(); }
result<::pid_t> getppid() noexcept { return call<SYS_getppid, ::pid_t>(); }
result<::pid_t> gettid() noexcept { return call<SYS_gettid, ::pid_t>(); }
result<void> kill(::pid_t pid, int signal) noexcept { return call<SYS_kill, void>(pid, signal); }
result<void> tgkill(::pid_t pid, ::pid_t thread, int signal) noexcept {
  return call<SYS_tgkill, void>(pid, thread, signal);
}

result<int> pidfd_open(::pid_t pid, unsigned flags) noexcept { return call<SYS_pidfd_open, int>(pid, flags); }
result<void> pidfd_send_signal(int pidfd, int signal, ::siginfo_t* info, unsigned flags) noexcept {
  return call<SYS_pidfd_send_signal, void>(pidfd, signal, info, flags);
}
result<int> pidfd_getfd(int pidfd, int fd, unsigned flags) noexcept {
  return call<SYS_pidfd_getfd, int>(pidfd, fd, flags);
}

// getpgid, because aarch64 has no getpgrp.
result<::pid_t> setsid() noexcept { return call<SYS_setsid, ::pid_t>(); }
result<::pid_t> getsid(::pid_t pid) noexcept { return call<SYS_getsid, ::pid_t>(pid); }
result<void> setpgid(::pid_t pid, ::pid_t group) noexcept { return call<SYS_setpgid, void>(pid, group); }
result<::pid_t> getpgid(::pid_t pid) noexcept { return call<SYS_getpgid, ::pid_t>(pid); }
result<::pid_t> getpgrp() noexcept { return getpgid(0); }

result<::rusage> getrusage(int who) noexcept {
  ::rusage usage{};
  if (const auto got = call<SYS_getrusage, void>(who, &usage); !got) return failure(got.error());
  return usage;
}

result<void> prlimit(::pid_t pid, int resource, const ::rlimit* limit, ::rlimit* former) noexcept {
  return call<SYS_prlimit64, void>(pid, resource, limit, former);
}
result<void> getrlimit(int resource, ::rlimit* into) noexcept { return prlimit(0, resource, nullptr, into); }
result<::rlimit> getrlimit(int resource) noexcept {
  ::rlimit limit{};
  if (const auto got = sys::getrlimit(resource, &limit); !got) return failure(got.error());
  return limit;
}
result<void> setrlimit(int resource, const ::rlimit& limit) noexcept { return prlimit(0, resource, &limit, nullptr); }

result<::pid_t> wait4(::pid_t pid, int* status, int options, ::rusage* usage) noexcept {
  if ((options & WNOHANG) != 0) return call<SYS_wait4, ::pid_t>(pid, status, options, usage);
  return blocking_call<SYS_wait4, ::pid_t>(pid, status, options, usage);
}
result<void> waitid(::idtype_t type, ::id_t id, ::siginfo_t* info, int options, ::rusage* usage) noexcept {
  if ((options & WNOHANG) != 0) return call<SYS_waitid, void>(type, id, info, options, usage);
  return blocking_call<SYS_waitid, void>(type, id, info, options, usage);
}
result<wait_status> wait4(::pid_t pid, int options) noexcept {
  int raw = 0;
  const auto child = wait4(pid, &raw, options);
  if (!child) return failure(child.error());
  return *child == 0 ? wait_status() : wait_status(raw);
}

}  // namespace baton::sys
