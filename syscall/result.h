// Public API: what a system call gave: its value, or an errno value.
//
//   if (auto n = sys::read(fd, buffer)) use(*n); else return n.status("read config");
//
// A plain value: trivially copyable when T is, and returned in registers for integers. Nothing here touches errno,
// blocks or (except for status()) allocates.
//
// Misuse: value(), * and -> of a result that holds an error abort with a sentence that names the error.
#pragma once

#include <baton/syscall/status.h>

#include <absl/status/status.h>

#include <string_view>
#include <type_traits>
#include <utility>

namespace baton::sys {

// An errno value on its way into a result<T>: `return sys::failure(EINVAL);`. Requires: err > 0.
class failure {
 public:
  explicit constexpr failure(int err) noexcept : err_(err) {
    if (err <= 0) [[unlikely]]
      detail::no_error_number(err);
  }
  [[nodiscard]] constexpr int error() const noexcept { return err_; }

 private:
  int err_;
};

template <class T>
class [[nodiscard]] result {
  static_assert(std::is_object_v<T> && std::is_default_constructible_v<T>,
                "beside an error lies a default-constructed T");

 public:
  using value_type = T;

  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr result(failure f) noexcept(std::is_nothrow_default_constructible_v<T>) : value_(), error_(f.error()) {}

  [[nodiscard]] constexpr bool has_value() const noexcept { return error_ == 0; }
  constexpr explicit operator bool() const noexcept { return error_ == 0; }

  // Returns the value. Aborts if there is none.
  constexpr T& value() & noexcept { return check(), value_; }
  constexpr const T& value() const& noexcept { return check(), value_; }
  constexpr T&& value() && noexcept { return check(), std::move(value_); }
  constexpr T& operator*() & noexcept { return value(); }
  constexpr const T& operator*() const& noexcept { return value(); }
  constexpr T&& operator*() && noexcept { return std::move(*this).value(); }
  constexpr T* operator->() noexcept { return &value(); }
  constexpr const T* operator->() const noexcept { return &value(); }

  // Returns the value, or `other` if there is none.
  template <class U>
  [[nodiscard]] constexpr T value_or(U&& other) const& {
    return has_value() ? value_ : static_cast<T>(std::forward<U>(other));
  }

  // Returns the errno value, or 0 if the call succeeded.
  [[nodiscard]] constexpr int error() const noexcept { return error_; }

  // Returns OK, or the error as status_from_errno(error(), what) makes it.
  [[nodiscard]] absl::Status status(std::string_view what) const { return status_from_errno(error_, what); }

  // Returns true if the result holds a value that equals this one.
  friend constexpr bool operator==(const result& r, const T& value) { return r.has_value() && r.value_ == value; }

 private:
  constexpr void check() const noexcept {
    if (error_ != 0) [[unlikely]]
      detail::no_value(error_);
  }

  T value_;
  int error_ = 0;
};

// The result of calls that only succeed or fail.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;

  constexpr result() noexcept = default;
  constexpr result(failure f) noexcept : error_(f.error()) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] constexpr bool has_value() const noexcept { return error_ == 0; }
  constexpr explicit operator bool() const noexcept { return error_ == 0; }

  // Aborts if the call failed.
  constexpr void value() const noexcept {
    if (error_ != 0) [[unlikely]]
      detail::no_value(error_);
  }
  constexpr void operator*() const noexcept { value(); }

  [[nodiscard]] constexpr int error() const noexcept { return error_; }
  [[nodiscard]] absl::Status status(std::string_view what) const { return status_from_errno(error_, what); }

 private:
  int error_ = 0;
};

}  // namespace baton::sys
