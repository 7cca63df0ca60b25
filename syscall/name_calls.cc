// All calls use the *at forms, because aarch64 has no others. On both machines the kernel's struct stat is the C
// library's. The kernel's faccessat and fchmodat take no flags; their successors have numbers of their own.
#include <baton/syscall/names.h>
#include <baton/syscall/typed_call.h>

#include <limits.h>
#include <algorithm>
#include <exception>

namespace baton::sys {

using detail::blocking_call;
using detail::call;
using detail::named_call;

namespace {

constexpr long fchmodat2 = 452;  // on both machines; newer than the headers of Debian 12

template <class Fill>
result<struct ::stat> filled(Fill fill) noexcept {
  struct ::stat s {};
  if (const result<void> done = fill(&s); !done) return failure(done.error());
  return s;
}

}  // namespace

result<void> fstatat(int directory, const c_string& path, struct ::stat* into, int flags) noexcept {
  return named_call<SYS_newfstatat, void>(directory, path, into, flags);
}
result<void> stat(const c_string& path, struct ::stat* into) noexcept { return fstatat(AT_FDCWD, path, into, 0); }
result<void> lstat(const c_string& path, struct ::stat* into) noexcept {
  return fstatat(AT_FDCWD, path, into, AT_SYMLINK_NOFOLLOW);
}
result<void> fstat(int fd, struct ::stat* into) noexcept { return blocking_call<SYS_fstat, void>(fd, into); }

result<struct ::stat> stat(const c_string& path) noexcept {
  return filled([&](struct ::stat* s) { return sys::stat(path, s); });
}
result<struct ::stat> lstat(const c_string& path) noexcept {
  return filled([&](struct ::stat* s) { return sys::lstat(path, s); });
}
result<struct ::stat> fstat(int fd) noexcept {
  return filled([&](struct ::stat* s) { return sys::fstat(fd, s); });
}
result<struct ::stat> fstatat(int directory, const c_string& path, int flags) noexcept {
  return filled([&](struct ::stat* s) { return sys::fstatat(directory, path, s, flags); });
}

result<void> statx(int directory, const c_string& path, int flags, unsigned mask, struct ::statx* into) noexcept {
  return named_call<SYS_statx, void>(directory, path, flags, mask, into);
}
result<struct ::statx> statx(int directory, const c_string& path, int flags, unsigned mask) noexcept {
  struct ::statx s {};
  if (const auto done = sys::statx(directory, path, flags, mask, &s); !done) return failure(done.error());
  return s;
}

result<void> access(const c_string& path, int mode) noexcept { return faccessat(AT_FDCWD, path, mode, 0); }
result<void> faccessat(int directory, const c_string& path, int mode, int flags) noexcept {
  if (flags == 0) return named_call<SYS_faccessat, void>(directory, path, mode);
  return named_call<SYS_faccessat2, void>(directory, path, mode, flags);
}

result<void> mkdir(const c_string& path, ::mode_t mode) noexcept { return mkdirat(AT_FDCWD, path, mode); }
result<void> mkdirat(int directory, const c_string& path, ::mode_t mode) noexcept {
  return named_call<SYS_mkdirat, void>(directory, path, mode);
}
result<void> rmdir(const c_string& path) noexcept { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
result<void> unlink(const c_string& path) noexcept { return unlinkat(AT_FDCWD, path, 0); }
result<void> unlinkat(int directory, const c_string& path, int flags) noexcept {
  return named_call<SYS_unlinkat, void>(directory, path, flags);
}

result<void> mkfifo(const c_string& path, ::mode_t mode) noexcept { return mkfifoat(AT_FDCWD, path, mode); }
result<void> mkfifoat(int directory, const c_string& path, ::mode_t mode) noexcept {
  return mknodat(directory, path, (mode & ~static_cast<::mode_t>(S_IFMT)) | S_IFIFO, 0);
}
result<void> mknod(const c_string& path, ::mode_t mode, ::dev_t device) noexcept {
  return mknodat(AT_FDCWD, path, mode, device);
}
// The kernel takes 32 bits of the device's number, and would cut off the others.
result<void> mknodat(int directory, const c_string& path, ::mode_t mode, ::dev_t device) noexcept {
  if (device > 0xffff'ffff) return failure(EINVAL);
  return named_call<SYS_mknodat, void>(directory, path, mode, device);
}

result<void> rename(const c_string& from, const c_string& to) noexcept {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}
result<void> renameat(int from_directory, const c_string& from, int to_directory, const c_string& to) noexcept {
  return renameat2(from_directory, from, to_directory, to, 0);
}
result<void> renameat2(int from_directory, const c_string& from, int to_directory, const c_string& to,
                       unsigned flags) noexcept {
  return named_call<SYS_renameat2, void>(from_directory, from, to_directory, to, flags);
}

result<void> link(const c_string& existing, const c_string& path) noexcept {
  return linkat(AT_FDCWD, existing, AT_FDCWD, path, 0);
}
result<void> linkat(int existing_directory, const c_string& existing, int directory, const c_string& path,
                    int flags) noexcept {
  return named_call<SYS_linkat, void>(existing_directory, existing, directory, path, flags);
}
result<void> symlink(const c_string& target, const c_string& path) noexcept {
  return symlinkat(target, AT_FDCWD, path);
}
result<void> symlinkat(const c_string& target, int directory, const c_string& path) noexcept {
  return named_call<SYS_symlinkat, void>(target, directory, path);
}
result<std::size_t> readlink(const c_string& path, bytes into) noexcept { return readlinkat(AT_FDCWD, path, into); }
result<std::size_t> readlinkat(int directory, const c_string& path, bytes into) noexcept {
  const std::size_t room = std::min<std::size_t>(into.size(), INT_MAX);  // the kernel takes an int
  return named_call<SYS_readlinkat, std::size_t>(directory, path, into.data(), room);
}

result<void> chmod(const c_string& path, ::mode_t mode) noexcept { return fchmodat(AT_FDCWD, path, mode, 0); }
result<void> fchmod(int fd, ::mode_t mode) noexcept { return blocking_call<SYS_fchmod, void>(fd, mode); }
result<void> fchmodat(int directory, const c_string& path, ::mode_t mode, int flags) noexcept {
  if (flags == 0) return named_call<SYS_fchmodat, void>(directory, path, mode);
  return named_call<fchmodat2, void>(directory, path, mode, flags);
}
result<void> chown(const c_string& path, ::uid_t owner, ::gid_t group) noexcept {
  return fchownat(AT_FDCWD, path, owner, group, 0);
}
result<void> lchown(const c_string& path, ::uid_t owner, ::gid_t group) noexcept {
  return fchownat(AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW);
}
result<void> fchown(int fd, ::uid_t owner, ::gid_t group) noexcept {
  return blocking_call<SYS_fchown, void>(fd, owner, group);
}
result<void> fchownat(int directory, const c_string& path, ::uid_t owner, ::gid_t group, int flags) noexcept {
  return named_call<SYS_fchownat, void>(directory, path, owner, group, flags);
}
// Without a path the kernel sets the times of the descriptor itself. From a user, a null path is EFAULT as elsewhere.
result<void> utimensat(int directory, const c_string& path, const ::timespec* times, int flags) noexcept {
  if (path.error() == 0 && path.get() == nullptr) return failure(EFAULT);
  return named_call<SYS_utimensat, void>(directory, path, times, flags);
}
result<void> futimens(int fd, const ::timespec* times) noexcept {
  if (fd == AT_FDCWD) return failure(EBADF);
  return blocking_call<SYS_utimensat, void>(fd, nullptr, times, 0);
}

result<void> chdir(const c_string& path) noexcept { return named_call<SYS_chdir, void>(path); }
result<void> fchdir(int fd) noexcept { return blocking_call<SYS_fchdir, void>(fd); }

// The kernel counts the NUL, and begins with "(unreachable)" if the directory is not below the root.
result<std::size_t> getcwd(bytes into) noexcept {
  const auto n = call<SYS_getcwd, std::size_t>(into.data(), into.size());
  if (!n) return n;
  return into[0] == std::byte{'/'} ? result<std::size_t>(*n - 1) : failure(ENOENT);
}
result<std::string> getcwd() noexcept {
  try {
    std::string path;
    for (std::size_t room = 256;; room *= 2) {
      path.resize(room);
      const auto n = getcwd(bytes(path));
      if (n.error() == ERANGE && room < std::size_t{1} << 20) continue;
      if (!n) return failure(n.error());
      path.resize(*n);
      return path;
    }
  } catch (const std::exception&) {  // bad_alloc
    return failure(ENOMEM);
  }
}

result<::mode_t> umask(::mode_t mask) noexcept { return call<SYS_umask, ::mode_t>(mask); }

}  // namespace baton::sys
