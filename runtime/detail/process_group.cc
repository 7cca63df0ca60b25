// No system call reports the members of a group: kill(-group, 0) succeeds for zombies, too. So this file reads
// /proc/PID/stat of all processes, without memory from the heap: "PID (name) state parent group …". The name may hold
// anything, also ")".
#include <baton/runtime/detail/process_group.h>

#include <baton/syscall/blocking.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/kernel_structs.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <sys/syscall.h>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>

namespace baton::detail {

namespace {

using sys::detail::call;
using sys::detail::dirent_head;

::pid_t number_in(std::string_view text) noexcept {
  ::pid_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() ? number : 0;
}

bool is_alive_in(int proc, const char* pid, ::pid_t group) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "%.20s/stat", pid);
  const sys::owned_fd fd(call<SYS_openat, int>(proc, &path[0], O_RDONLY | O_CLOEXEC, 0).value_or(-1));
  if (!fd) return false;
  char text[256];
  const std::size_t n = call<SYS_read, std::size_t>(fd.get(), &text[0], sizeof text).value_or(std::size_t{0});
  const std::string_view stat(text, n);
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return false;
  std::string_view rest = stat.substr(name_end + 1);  // " S 1 4711 …"
  std::string_view fields[3];
  for (std::string_view& f : fields) {
    if (rest.empty()) return false;
    rest.remove_prefix(1);
    f = rest.substr(0, rest.find(' '));
    rest.remove_prefix(f.size());
  }
  return fields[0] != "Z" && fields[0] != "X" && number_in(fields[2]) == group;
}

bool look_for_others(::pid_t group) noexcept {
  const sys::owned_fd proc(
      call<SYS_openat, int>(int{AT_FDCWD}, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0).value_or(-1));
  if (!proc) return false;
  alignas(dirent_head) char entries[4096];
  for (;;) {
    const auto n = call<SYS_getdents64, std::size_t>(proc.get(), &entries[0], sizeof entries);
    if (!n || *n == 0) return false;
    for (std::size_t at = 0; at < *n;) {
      const auto* const head = reinterpret_cast<const dirent_head*>(entries + at);
      const char* const name = entries + at + dirent_head::name_at;
      at += head->size;
      const ::pid_t pid = number_in(name);
      if (pid > 0 && pid != group && is_alive_in(proc.get(), name, group)) return true;
    }
  }
}

}  // namespace

bool group_has_others(::pid_t group) noexcept {
  return blocking([&]() noexcept { return look_for_others(group); });
}

}  // namespace baton::detail
