// Public API: the wording of netpoll's errors: operation, object, reason. "read 10.0.0.1:80->10.0.0.2:4711: ..."
#pragma once

#include <baton/syscall/status.h>

#include <absl/status/status.h>
#include <cstddef>
#include <string>
#include <string_view>

namespace baton::net {

// Returns "operation object: reason", or "operation: reason" without an object.
[[nodiscard]] std::string describe(std::string_view operation, std::string_view object, std::string_view reason);

// Returns the status that belongs to an errno; errno_of() gives the number back.
[[nodiscard]] absl::Status errno_status(int error, std::string_view operation, std::string_view object);

// Returns a context's error as the error of an operation that the context has ended: the same code and payloads, and
// the context's message as the reason. Without a message the reason is "cancelled" or "deadline exceeded". Ok counts as
// CANCELLED.
[[nodiscard]] absl::Status context_status(const absl::Status& why, std::string_view operation, std::string_view object);

// Returns the error for something that is not open: default-constructed, or moved from.
[[nodiscard]] absl::Status not_open(std::string_view operation, std::string_view what);

// Part of the API of streams, and of files.
using baton::with_written;
using baton::written_of;

}  // namespace baton::net
