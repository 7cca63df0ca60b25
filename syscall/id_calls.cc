#include <baton/syscall/direct_call.h>
#include <baton/syscall/ids.h>

#include <limits.h>
#include <algorithm>

namespace baton::sys {

using detail::call;

result<::uid_t> getuid() noexcept { return call<SYS_getuid, ::uid_t>(); }
result<::uid_t> geteuid() noexcept { return call<SYS_geteuid, ::uid_t>(); }
result<::gid_t> getgid() noexcept { return call<SYS_getgid, ::gid_t>(); }
result<::gid_t> getegid() noexcept { return call<SYS_getegid, ::gid_t>(); }

result<three_ids<::uid_t>> getresuid() noexcept {
  three_ids<::uid_t> ids{};
  if (const auto got = call<SYS_getresuid, void>(&ids.real, &ids.effective, &ids.saved); !got) {
    return failure(got.error());
  }
  return ids;
}
result<three_ids<::gid_t>> getresgid() noexcept {
  three_ids<::gid_t> ids{};
  if (const auto got = call<SYS_getresgid, void>(&ids.real, &ids.effective, &ids.saved); !got) {
    return failure(got.error());
  }
  return ids;
}
result<std::size_t> getgroups(std::span<::gid_t> into) noexcept {
  const std::size_t room = std::min<std::size_t>(into.size(), INT_MAX);  // the kernel takes an int
  return call<SYS_getgroups, std::size_t>(room, into.data());
}

}  // namespace baton::sys
