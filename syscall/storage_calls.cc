// On 64-bit machines the kernel's struct statfs is the C library's.
#include <baton/syscall/storage.h>
#include <baton/syscall/typed_call.h>

namespace baton::sys {

using detail::blocking_call;
using detail::named_call;
using detail::on_eintr;

result<void> statfs(const c_string& path, struct ::statfs* into) noexcept {
  return named_call<SYS_statfs, void>(path, into);
}
result<void> fstatfs(int fd, struct ::statfs* into) noexcept { return blocking_call<SYS_fstatfs, void>(fd, into); }
result<struct ::statfs> statfs(const c_string& path) noexcept {
  struct ::statfs s {};
  if (const auto done = sys::statfs(path, &s); !done) return failure(done.error());
  return s;
}
result<struct ::statfs> fstatfs(int fd) noexcept {
  struct ::statfs s {};
  if (const auto done = sys::fstatfs(fd, &s); !done) return failure(done.error());
  return s;
}

result<void> fallocate(int fd, int mode, ::off_t offset, ::off_t length) noexcept {
  return blocking_call<SYS_fallocate, void, on_eintr::report>(fd, mode, offset, length);
}
result<void> posix_fadvise(int fd, ::off_t offset, ::off_t length, int advice) noexcept {
  return blocking_call<SYS_fadvise64, void>(fd, offset, length, advice);
}
result<void> readahead(int fd, ::off_t offset, std::size_t count) noexcept {
  return blocking_call<SYS_readahead, void>(fd, offset, count);
}
result<void> sync_file_range(int fd, ::off_t offset, ::off_t length, unsigned flags) noexcept {
  return blocking_call<SYS_sync_file_range, void>(fd, offset, length, flags);
}
result<void> syncfs(int fd) noexcept { return blocking_call<SYS_syncfs, void>(fd); }
result<void> sync() noexcept { return blocking_call<SYS_sync, void>(); }

}  // namespace baton::sys
