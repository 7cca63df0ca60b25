// The names of a program's functions, under qemu-user. Abseil finds them by /proc/self/task/<pid>/maps, which shows
// qemu's own view of memory. qemu shows the program's in /proc/self/maps only. This open() takes the place of the C
// library's.
#include <fcntl.h>
#include <cstdarg>
#include <string_view>

extern "C" int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  const std::string_view name = path;
  if (name.starts_with("/proc/self/task/") && name.ends_with("/maps")) path = "/proc/self/maps";
  return ::openat(AT_FDCWD, path, flags, mode);
}
