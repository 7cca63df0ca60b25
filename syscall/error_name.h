// Public API: the names of errno values.
#pragma once

#include <string_view>

namespace baton::sys {

// Returns the name of an errno value, "ENOENT" for 2; "E?" for another number, 0 included. Thread-safe, never blocks,
// async-signal-safe.
[[nodiscard]] std::string_view error_name(int error) noexcept;

}  // namespace baton::sys
