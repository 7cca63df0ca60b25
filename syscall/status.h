// Public API: converts errno values to absl::Status and back. Thread-safe, never blocks, leaves errno alone.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <string_view>

namespace baton {

// Returns the errno value that a status carries, or 0 if it carries none (the status is OK, or the error did not come
// from the kernel).
[[nodiscard]] int errno_of(const absl::Status& status);

// Makes an error with the code that absl::ErrnoToStatusCode gives (except that EADDRNOTAVAIL is UNAVAILABLE, ENODATA
// NOT_FOUND, EMSGSIZE INVALID_ARGUMENT; EALREADY, ELOOP and ENXIO are FAILED_PRECONDITION), the message
//   open /etc/shadow: Permission denied (EACCES)
// and the errno value for errno_of. `what` names the operation and its object. Returns OK if err is 0.
[[nodiscard]] absl::Status status_from_errno(int err, std::string_view what);

// Makes the error of an operation that ended for a reason given elsewhere, such as a context's cause. It has the
// reason's code and payloads, and its message after "what: ". A reason without a message is named by its code
// ("cancelled"). An OK reason gives OK.
[[nodiscard]] absl::Status status_for_reason(const absl::Status& reason, std::string_view what);

// Returns how many bytes a failed write to a file or a stream had written before it failed, or 0 if the status does not
// say.
[[nodiscard]] std::size_t written_of(const absl::Status& status);

// Returns the same status with `written` for written_of() to read.
[[nodiscard]] absl::Status with_written(absl::Status status, std::size_t written);

namespace sys::detail {

// Ends the process: value() was called on a result that holds the error `err`.
[[noreturn]] void no_value(int err) noexcept;

// Ends the process: an error was to be made of a number that is not an errno value.
[[noreturn]] void no_error_number(int err) noexcept;

}  // namespace sys::detail
}  // namespace baton
