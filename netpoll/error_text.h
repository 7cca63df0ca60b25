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

// The status that belongs to a context that is done: its error's code and payloads, and its message as the reason.
[[nodiscard]] absl::Status failed_because(const absl::Status& reason, std::string_view operation,
                                          std::string_view object);

// For an error on something that is not open: default-constructed, or moved from.
[[nodiscard]] absl::Status not_open(std::string_view operation, std::string_view what);

// API of streams; files have it, too.
using baton::with_written;
using baton::written_of;

}  // namespace baton::net
