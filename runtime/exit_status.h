// Public API: how a child process ended.
#pragma once

#include <baton/syscall/wait_status.h>

#include <absl/status/status.h>
#include <optional>

namespace baton {

// What process::wait() and command::run() return. It never says that a child is stopped.
class exit_status : public sys::wait_status {
 public:
  // Exit code 0.
  constexpr exit_status() noexcept : wait_status(0) {}
  explicit constexpr exit_status(sys::wait_status status) noexcept : wait_status(status) {}
  explicit constexpr exit_status(int word) noexcept : wait_status(word) {}
};

// Returns how the child ended whose failure this status is (see command::output()), or nothing if it is not such a
// status.
[[nodiscard]] std::optional<exit_status> exit_status_of(const absl::Status& status);

namespace detail {
// Returns the same status with `how` for exit_status_of() to read.
[[nodiscard]] absl::Status with_exit_status(absl::Status status, exit_status how);
}  // namespace detail

}  // namespace baton
