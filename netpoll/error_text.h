// How netpoll words its errors: operation, object, reason. "read 10.0.0.1:80->10.0.0.2:4711: ..."
#pragma once

#include <baton/syscall/status.h>

#include <absl/status/status.h>
#include <cstddef>
#include <string>
#include <string_view>

namespace baton::net {

// "operation object: reason"; without an object "operation: reason".
[[nodiscard]] std::string describe(std::string_view operation, std::string_view object, std::string_view reason);

// The status that belongs to an errno; errno_of() gives the number back.
[[nodiscard]] absl::Status errno_status(int error, std::string_view operation, std::string_view object);

// A context's error as that of an operation which it has ended: the same code and payloads, and its message as the
// reason. Without a message the reason is "cancelled" or "deadline exceeded". Ok counts as CANCELLED.
[[nodiscard]] absl::Status context_status(const absl::Status& why, std::string_view operation, std::string_view object);

// For an error on something that is not open: default-constructed, or moved from.
[[nodiscard]] absl::Status not_open(std::string_view operation, std::string_view what);

// API of streams; files have it, too.
using baton::with_written;
using baton::written_of;

}  // namespace baton::net
