#include <baton/syscall/error_name.h>

#include <cstring>

namespace baton::sys {

std::string_view error_name(int error) noexcept {
  const char* name = error > 0 ? ::strerrorname_np(error) : nullptr;  // which has a name for 0, too
  return name != nullptr ? std::string_view(name) : std::string_view("E?");
}

}  // namespace baton::sys
