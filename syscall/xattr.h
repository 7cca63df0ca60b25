// Public API: typed calls on extended attributes. The rules that files.h states for all typed calls apply here, too.
//
// `name` has its namespace in front ("user.origin"). ENODATA: no such attribute. EOPNOTSUPP: this file system, or this
// kind of file, has none. The calls that begin with l do not follow a symbolic link.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/c_string.h>
#include <baton/syscall/result.h>

#include <sys/xattr.h>
#include <cstddef>

namespace baton::sys {

// Switches. Writes the attribute's value into `into` and returns its size. ERANGE if it does not fit; with no room at
// all (bytes()) only the size is returned, which another process may change before the next call.
result<std::size_t> getxattr(const c_string& path, const c_string& name, bytes into) noexcept;
result<std::size_t> lgetxattr(const c_string& path, const c_string& name, bytes into) noexcept;
result<std::size_t> fgetxattr(int fd, const c_string& name, bytes into) noexcept;

// Switches. Sets it. flags: XATTR_CREATE (EEXIST if it exists), XATTR_REPLACE (ENODATA if not), 0.
result<void> setxattr(const c_string& path, const c_string& name, const_bytes value, int flags = 0) noexcept;
result<void> lsetxattr(const c_string& path, const c_string& name, const_bytes value, int flags = 0) noexcept;
result<void> fsetxattr(int fd, const c_string& name, const_bytes value, int flags = 0) noexcept;

// Switches. Writes the names of all attributes, each with a NUL behind it, and returns the size of all. As getxattr
// where there is too little room, or none.
result<std::size_t> listxattr(const c_string& path, bytes into) noexcept;
result<std::size_t> llistxattr(const c_string& path, bytes into) noexcept;
result<std::size_t> flistxattr(int fd, bytes into) noexcept;

// Switches. Removes it.
result<void> removexattr(const c_string& path, const c_string& name) noexcept;
result<void> lremovexattr(const c_string& path, const c_string& name) noexcept;
result<void> fremovexattr(int fd, const c_string& name) noexcept;

}  // namespace baton::sys
