// Opening a file by its name. Internal to runtime; file.h is for users.
#pragma once

#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/result.h>

#include <sys/types.h>

#include <string>

namespace baton::detail {

// (S) As open(2). Of the calls that have to fetch the way to the file from a device, or make the file, or cut it, few
// keep a thread at once.
[[nodiscard]] sys::result<int> open_file(const std::string& path, int flags, mode_t mode) noexcept;

// The gate of those calls. Never destroyed.
[[nodiscard]] blocking_gate& opening_gate() noexcept;

}  // namespace baton::detail
