// Text on its way to the kernel or the C library, which read it up to its first NUL.
//
// A std::string may have NULs inside. Passed by its address alone, it would be cut at the first one and name another
// file, host or service than the caller means. So every text that becomes a C string goes through this type, which
// gives EINVAL instead. tools/check_style forbids c_str() elsewhere in syscall, netpoll and runtime.
//
// A parameter type: it refers to its argument (it has to copy a string_view), so it must not outlive the call. Never
// blocks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace baton::sys {

class c_string {
 public:
  // The text of a const char* has no NUL inside. A null pointer goes to the kernel, which answers EFAULT.
  c_string(const char* text) noexcept : text_(text) {}  // NOLINT(google-explicit-constructor)
  c_string(const std::string& text) noexcept            // NOLINT(google-explicit-constructor)
      : text_(text.c_str()), error_(error_of(text)) {}
  // ENOMEM if there is no memory for the copy.
  c_string(std::string_view text) noexcept;  // NOLINT(google-explicit-constructor)
  c_string(std::nullptr_t) = delete;
  c_string(const c_string&) = delete;
  c_string& operator=(const c_string&) = delete;

  // Returns 0, or why there is no such C string: EINVAL for a NUL inside, or ENOMEM.
  [[nodiscard]] int error() const noexcept { return error_; }
  // Aborts if there is no such C string.
  [[nodiscard]] const char* get() const noexcept {
    if (error_ != 0) [[unlikely]]
      no_text();
    return text_;
  }

 private:
  static int error_of(std::string_view text) noexcept;
  [[noreturn]] static void no_text() noexcept;

  std::string copy_;
  const char* text_;
  int error_ = 0;
};

}  // namespace baton::sys
