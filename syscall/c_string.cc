#include <baton/syscall/c_string.h>

#include <baton/sched/log/fatal.h>

#include <cerrno>
#include <exception>

namespace baton::sys {

int c_string::error_of(std::string_view text) noexcept {
  return text.find('\0') == std::string_view::npos ? 0 : EINVAL;
}

c_string::c_string(std::string_view text) noexcept : text_(nullptr), error_(error_of(text)) {
  if (error_ != 0) return;
  try {
    copy_ = text;
    text_ = copy_.c_str();
  } catch (const std::exception&) {  // bad_alloc, or length_error
    error_ = ENOMEM;
  }
}

void c_string::no_text() noexcept { sched::fatal("text with a NUL inside was to become a C string"); }

}  // namespace baton::sys
