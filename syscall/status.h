// errno values in absl::Status, and out of it again. Thread-safe, never blocks, leaves errno alone.
#pragma once

#include <absl/status/status.h>

#include <string_view>

namespace baton {

// The errno value that a status carries; 0 when it carries none (fine, or an error that the kernel did
// not give).
[[nodiscard]] int errno_of(const absl::Status& status);

// An error with the code that absl::ErrnoToStatusCode gives, the message
//   open /etc/shadow: Permission denied (EACCES)
// and the value itself for errno_of. `what` names the operation and its object. err == 0 is OK.
[[nodiscard]] absl::Status status_from_errno(int err, std::string_view what);

// The error of an operation that ended for a reason given elsewhere, such as a context's cause: the reason's
// code and payloads, and its message behind "what: ". A reason without a message is named by its code
// ("cancelled"). An OK reason gives OK.
[[nodiscard]] absl::Status status_for_reason(const absl::Status& reason, std::string_view what);

namespace sys::detail {

// Ends the process: value() of a result that holds the error `err`.
[[noreturn]] void no_value(int err) noexcept;

// Ends the process: an error was to be made of a number that is none.
[[noreturn]] void no_error_number(int err) noexcept;

}  // namespace sys::detail
}  // namespace baton
