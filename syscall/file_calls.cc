// All calls use the *at forms, because aarch64 has no others. On both machines the kernel's struct stat, iovec and
// pollfd are the C library's.
#include <baton/sched/platform/clock.h>
#include <baton/syscall/files.h>
#include <baton/syscall/lingers.h>
#include <baton/syscall/typed_call.h>

#include <limits.h>
#include <algorithm>
#include <cstdint>
#include <ctime>

namespace baton::sys {

using detail::blocking_call;
using detail::call;
using detail::named_call;
using detail::on_eintr;

result<int> open(const c_string& path, int flags, ::mode_t mode) noexcept {
  return openat(AT_FDCWD, path, flags, mode);
}
result<int> openat(int directory, const c_string& path, int flags, ::mode_t mode) noexcept {
  return named_call<SYS_openat, int>(directory, path, flags, mode);
}
result<int> openat2(int directory, const c_string& path, const ::open_how& how) noexcept {
  constexpr int tries_max = 100;
  result<int> fd = failure(EAGAIN);
  for (int tries = 0; tries < tries_max && fd.error() == EAGAIN; ++tries) {
    fd = named_call<SYS_openat2, int>(directory, path, &how, sizeof how);
    if ((how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == 0) break;  // EAGAIN means something else then
  }
  return fd;
}
// Linux frees the descriptor before anything in close can be interrupted, so a second close would hit a descriptor that
// belongs to other code.
result<void> close(int fd) noexcept { return blocking_call<SYS_close, void, on_eintr::report>(fd); }
result<void> close_range(unsigned first, unsigned last, unsigned flags) noexcept {
  return blocking_call<SYS_close_range, void, on_eintr::report>(first, last, flags);
}

result<std::size_t> read(int fd, bytes into) noexcept {
  return blocking_call<SYS_read, std::size_t>(fd, into.data(), into.size());
}
result<std::size_t> pread(int fd, bytes into, ::off_t offset) noexcept {
  return blocking_call<SYS_pread64, std::size_t>(fd, into.data(), into.size(), offset);
}
result<std::size_t> readv(int fd, std::span<const ::iovec> into) noexcept {
  return blocking_call<SYS_readv, std::size_t>(fd, into.data(), into.size());
}
// The kernel takes the offset in two words. On 64-bit machines it reads only the first.
result<std::size_t> preadv(int fd, std::span<const ::iovec> into, ::off_t offset) noexcept {
  return blocking_call<SYS_preadv, std::size_t>(fd, into.data(), into.size(), offset, 0L);
}
result<std::size_t> preadv2(int fd, std::span<const ::iovec> into, ::off_t offset, int flags) noexcept {
  return blocking_call<SYS_preadv2, std::size_t>(fd, into.data(), into.size(), offset, offset < 0 ? -1L : 0L, flags);
}
result<std::size_t> write(int fd, const_bytes from) noexcept {
  return blocking_call<SYS_write, std::size_t>(fd, from.data(), from.size());
}
result<std::size_t> pwrite(int fd, const_bytes from, ::off_t offset) noexcept {
  return blocking_call<SYS_pwrite64, std::size_t>(fd, from.data(), from.size(), offset);
}
result<std::size_t> writev(int fd, std::span<const ::iovec> from) noexcept {
  return blocking_call<SYS_writev, std::size_t>(fd, from.data(), from.size());
}
result<std::size_t> pwritev(int fd, std::span<const ::iovec> from, ::off_t offset) noexcept {
  return blocking_call<SYS_pwritev, std::size_t>(fd, from.data(), from.size(), offset, 0L);
}
result<std::size_t> pwritev2(int fd, std::span<const ::iovec> from, ::off_t offset, int flags) noexcept {
  return blocking_call<SYS_pwritev2, std::size_t>(fd, from.data(), from.size(), offset, offset < 0 ? -1L : 0L, flags);
}
result<std::size_t> sendfile(int out_fd, int in_fd, ::off_t* offset, std::size_t count) noexcept {
  return blocking_call<SYS_sendfile, std::size_t>(out_fd, in_fd, offset, count);
}
result<::off_t> lseek(int fd, ::off_t offset, int whence) noexcept {
  return blocking_call<SYS_lseek, ::off_t>(fd, offset, whence);
}

result<int> dup(int fd) noexcept { return call<SYS_dup, int>(fd); }
// dup3 closes what `to` was, which can block as close() does. Usually it does not, so the site expects a short call.
result<int> dup3(int from, int to, int flags) noexcept {
  if (!detail::lingers(to)) return blocking_call<SYS_dup3, int>(from, to, flags);
  const baton::detail::call_scope<> scope(will_block);
  return call<SYS_dup3, int>(from, to, flags);
}

result<int> fcntl(int fd, int cmd, int arg) noexcept { return call<SYS_fcntl, int>(fd, cmd, arg); }
result<int> fcntl(int fd, int cmd, void* arg) noexcept {
  switch (cmd) {
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: return blocking_call<SYS_fcntl, int>(fd, cmd, arg);
    default: return call<SYS_fcntl, int>(fd, cmd, arg);
  }
}

result<int> ioctl(int fd, unsigned long request, void* arg) noexcept {
  return blocking_call<SYS_ioctl, int, on_eintr::report>(fd, request, arg);
}
result<int> ioctl(int fd, unsigned long request, int arg) noexcept {
  return blocking_call<SYS_ioctl, int, on_eintr::report>(fd, request, arg);
}

result<void> flock(int fd, int operation) noexcept { return blocking_call<SYS_flock, void>(fd, operation); }

result<void> fsync(int fd) noexcept { return blocking_call<SYS_fsync, void>(fd); }
result<void> fdatasync(int fd) noexcept { return blocking_call<SYS_fdatasync, void>(fd); }
result<void> ftruncate(int fd, ::off_t length) noexcept { return blocking_call<SYS_ftruncate, void>(fd, length); }
result<void> truncate(const c_string& path, ::off_t length) noexcept {
  return named_call<SYS_truncate, void>(path, length);
}

result<std::size_t> getdents(int fd, bytes into) noexcept {
  const std::size_t room = std::min<std::size_t>(into.size(), INT_MAX);
  return blocking_call<SYS_getdents64, std::size_t>(fd, into.data(), room);
}

result<void> pipe2(int (&fds)[2], int flags) noexcept { return call<SYS_pipe2, void>(&fds[0], flags); }
result<std::array<int, 2>> pipe2(int flags) noexcept {
  int fds[2] = {-1, -1};
  if (const auto made = pipe2(fds, flags); !made) return failure(made.error());
  return std::array<int, 2>{fds[0], fds[1]};
}

// ppoll, because aarch64 has no poll. This function keeps the deadline itself: with the remaining time that the kernel
// writes back, the wait would become a little longer with each signal.
result<int> poll(std::span<::pollfd> fds, int timeout_ms) noexcept {
  using sched::platform::now_ns;
  constexpr std::int64_t ns_per_s = 1'000'000'000;
  const bool forever = timeout_ms < 0;
  const std::int64_t deadline = forever ? 0 : now_ns() + std::int64_t{timeout_ms} * 1'000'000;
  return blocking([=]() noexcept -> result<int> {
    for (;;) {
      const std::int64_t left = forever ? 0 : std::max<std::int64_t>(deadline - now_ns(), 0);
      ::timespec ts{left / ns_per_s, left % ns_per_s};
      ::timespec* const until = forever ? nullptr : &ts;
      const auto r = call<SYS_ppoll, int, on_eintr::report>(fds.data(), fds.size(), until, nullptr, 0L);
      if (r.error() != EINTR) return r;
    }
  });
}

}  // namespace baton::sys
