#include <baton/syscall/typed_call.h>
#include <baton/syscall/xattr.h>

namespace baton::sys {

using detail::blocking_call;
using detail::named_call;

result<std::size_t> getxattr(const c_string& path, const c_string& name, bytes into) noexcept {
  return named_call<SYS_getxattr, std::size_t>(path, name, into.data(), into.size());
}
result<void> setxattr(const c_string& path, const c_string& name, const_bytes value, int flags) noexcept {
  return named_call<SYS_setxattr, void>(path, name, value.data(), value.size(), flags);
}
result<std::size_t> listxattr(const c_string& path, bytes into) noexcept {
  return named_call<SYS_listxattr, std::size_t>(path, into.data(), into.size());
}
result<void> removexattr(const c_string& path, const c_string& name) noexcept {
  return named_call<SYS_removexattr, void>(path, name);
}

result<std::size_t> lgetxattr(const c_string& path, const c_string& name, bytes into) noexcept {
  return named_call<SYS_lgetxattr, std::size_t>(path, name, into.data(), into.size());
}
result<void> lsetxattr(const c_string& path, const c_string& name, const_bytes value, int flags) noexcept {
  return named_call<SYS_lsetxattr, void>(path, name, value.data(), value.size(), flags);
}
result<std::size_t> llistxattr(const c_string& path, bytes into) noexcept {
  return named_call<SYS_llistxattr, std::size_t>(path, into.data(), into.size());
}
result<void> lremovexattr(const c_string& path, const c_string& name) noexcept {
  return named_call<SYS_lremovexattr, void>(path, name);
}

result<std::size_t> fgetxattr(int fd, const c_string& name, bytes into) noexcept {
  return named_call<SYS_fgetxattr, std::size_t>(fd, name, into.data(), into.size());
}
result<void> fsetxattr(int fd, const c_string& name, const_bytes value, int flags) noexcept {
  return named_call<SYS_fsetxattr, void>(fd, name, value.data(), value.size(), flags);
}
result<std::size_t> flistxattr(int fd, bytes into) noexcept {
  return blocking_call<SYS_flistxattr, std::size_t>(fd, into.data(), into.size());
}
result<void> fremovexattr(int fd, const c_string& name) noexcept {
  return named_call<SYS_fremovexattr, void>(fd, name);
}

}  // namespace baton::sys
