// Opening a file by its name. Internal to runtime; users include file.h.
#pragma once

#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/result.h>

#include <sys/types.h>

#include <string>

namespace baton::detail {

// Switches. Like open(2). Some calls have to fetch the path from a device, or create the file, or truncate it. Only a
// few of these block a thread at once.
[[nodiscard]] sys::result<int> open_file(const std::string& path, int flags, mode_t mode) noexcept;

// The gate of those calls. Never destroyed.
[[nodiscard]] blocking_gate& opening_gate() noexcept;

}  // namespace baton::detail
