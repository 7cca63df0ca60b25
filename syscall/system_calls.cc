// The kernel's struct utsname is that of its newuname, which has the number of uname.
#include <baton/syscall/system.h>
#include <baton/syscall/typed_call.h>

namespace baton::sys {

using detail::blocking_call;
using detail::call;

result<struct ::utsname> uname() noexcept {
  struct ::utsname names {};
  if (const auto got = call<SYS_uname, void>(&names); !got) return failure(got.error());
  return names;
}
result<void> sysinfo(struct ::sysinfo* into) noexcept { return call<SYS_sysinfo, void>(into); }
result<std::size_t> getrandom(bytes into, unsigned flags) noexcept {
  return blocking_call<SYS_getrandom, std::size_t>(into.data(), into.size(), flags);
}

}  // namespace baton::sys
