// Public API: typed calls on paths, and on what a path names. The rules that files.h states for all typed calls apply
// here, too.
//
// The flags of the *at calls are AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH and AT_EACCESS, where the man
// page of the call names them.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/c_string.h>
#include <baton/syscall/result.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#include <cstddef>
#include <cstdio>  // RENAME_NOREPLACE, RENAME_EXCHANGE
#include <string>

namespace baton::sys {

// Switches. What the kernel knows of a file. lstat does not follow a symbolic link.
result<void> stat(const c_string& path, struct ::stat* into) noexcept;
result<void> lstat(const c_string& path, struct ::stat* into) noexcept;
result<void> fstat(int fd, struct ::stat* into) noexcept;
result<void> fstatat(int directory, const c_string& path, struct ::stat* into, int flags) noexcept;
result<struct ::stat> stat(const c_string& path) noexcept;
result<struct ::stat> lstat(const c_string& path) noexcept;
result<struct ::stat> fstat(int fd) noexcept;
result<struct ::stat> fstatat(int directory, const c_string& path, int flags) noexcept;

// Switches. The same with more in it (times of birth, mount ids). mask: what is asked for, STATX_…; stx_mask of the
// answer says what of it is there.
result<void> statx(int directory, const c_string& path, int flags, unsigned mask, struct ::statx* into) noexcept;
result<struct ::statx> statx(int directory, const c_string& path, int flags, unsigned mask) noexcept;

// Switches. Asks whether the process may read, write or execute (R_OK, W_OK, X_OK), or whether the file exists (F_OK),
// as its real user and group. EACCES or ENOENT: no. It says nothing of the time after: open and see is better.
// faccessat with flags: ENOSYS before Linux 5.8.
result<void> access(const c_string& path, int mode) noexcept;
result<void> faccessat(int directory, const c_string& path, int mode, int flags) noexcept;

// Switches. Makes and removes names. unlinkat removes a directory with AT_REMOVEDIR.
result<void> mkdir(const c_string& path, ::mode_t mode) noexcept;
result<void> mkdirat(int directory, const c_string& path, ::mode_t mode) noexcept;
result<void> rmdir(const c_string& path) noexcept;
result<void> unlink(const c_string& path) noexcept;
result<void> unlinkat(int directory, const c_string& path, int flags) noexcept;

// Switches. Makes a FIFO, or a file of the type in `mode` (S_IFREG, S_IFIFO, S_IFSOCK; S_IFCHR and S_IFBLK with the
// number `device`).
result<void> mkfifo(const c_string& path, ::mode_t mode) noexcept;
result<void> mkfifoat(int directory, const c_string& path, ::mode_t mode) noexcept;
result<void> mknod(const c_string& path, ::mode_t mode, ::dev_t device) noexcept;
result<void> mknodat(int directory, const c_string& path, ::mode_t mode, ::dev_t device) noexcept;

// Switches. Gives a file another name. An existing `to` is replaced, in one step; renameat2 has flags against that
// (RENAME_NOREPLACE: EEXIST) and for exchanging both (RENAME_EXCHANGE).
result<void> rename(const c_string& from, const c_string& to) noexcept;
result<void> renameat(int from_directory, const c_string& from, int to_directory, const c_string& to) noexcept;
result<void> renameat2(int from_directory, const c_string& from, int to_directory, const c_string& to,
                       unsigned flags) noexcept;

// Switches. Links. link does not follow a symbolic link; linkat does with AT_SYMLINK_FOLLOW.
result<void> link(const c_string& existing, const c_string& path) noexcept;
result<void> linkat(int existing_directory, const c_string& existing, int directory, const c_string& path,
                    int flags) noexcept;
result<void> symlink(const c_string& target, const c_string& path) noexcept;
result<void> symlinkat(const c_string& target, int directory, const c_string& path) noexcept;

// Switches. Writes the link's target into `into`, without a NUL, and returns its length. If that is the size of `into`,
// the target may have been cut off.
result<std::size_t> readlink(const c_string& path, bytes into) noexcept;
result<std::size_t> readlinkat(int directory, const c_string& path, bytes into) noexcept;

// Switches. Changes the mode. fchmodat with flags: ENOSYS before Linux 6.6.
result<void> chmod(const c_string& path, ::mode_t mode) noexcept;
result<void> fchmod(int fd, ::mode_t mode) noexcept;
result<void> fchmodat(int directory, const c_string& path, ::mode_t mode, int flags) noexcept;

// Switches. Changes owner and group; -1 leaves one as it is. lchown does not follow a symbolic link.
result<void> chown(const c_string& path, ::uid_t owner, ::gid_t group) noexcept;
result<void> lchown(const c_string& path, ::uid_t owner, ::gid_t group) noexcept;
result<void> fchown(int fd, ::uid_t owner, ::gid_t group) noexcept;
result<void> fchownat(int directory, const c_string& path, ::uid_t owner, ::gid_t group, int flags) noexcept;

// Switches. Sets the times of access and modification: times[0] and times[1], whose tv_nsec may be UTIME_NOW or
// UTIME_OMIT. A null pointer: both are now.
result<void> utimensat(int directory, const c_string& path, const ::timespec* times, int flags) noexcept;
result<void> futimens(int fd, const ::timespec* times) noexcept;

// Switches. Changes the working directory of the whole process: every relative path of every fiber means another file.
result<void> chdir(const c_string& path) noexcept;
result<void> fchdir(int fd) noexcept;

// Returns the working directory. ENOENT if it has been removed, or is not below the root. The first form writes it into
// `into` with a NUL and returns the length without (ERANGE if there is no room); the second one allocates (ENOMEM).
result<std::size_t> getcwd(bytes into) noexcept;
result<std::string> getcwd() noexcept;

// Returns the former mask of the process.
result<::mode_t> umask(::mode_t mask) noexcept;

}  // namespace baton::sys
