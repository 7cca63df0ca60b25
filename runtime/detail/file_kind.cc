#include <baton/runtime/detail/file_kind.h>

#include <baton/syscall/direct_call.h>
#include <baton/syscall/names.h>

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>

namespace baton::detail {

sys::result<file_kind> kind_of(int fd) noexcept {
  struct ::statx about {};
  const auto known =
      sys::detail::call<SYS_statx, void>(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MODE, &about);
  if (known) {
    const bool block = S_ISBLK(about.stx_mode);
    return file_kind{about.stx_mode, block ? makedev(about.stx_rdev_major, about.stx_rdev_minor)
                                           : makedev(about.stx_dev_major, about.stx_dev_minor)};
  }
  if (known.error() != ENOSYS && known.error() != EPERM) return sys::failure(known.error());
  const auto asked = sys::fstat(fd);  // a sandbox does not know statx
  if (!asked) return sys::failure(asked.error());
  return file_kind{asked->st_mode, S_ISBLK(asked->st_mode) ? asked->st_rdev : asked->st_dev};
}

}  // namespace baton::detail
