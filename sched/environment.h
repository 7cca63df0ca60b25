// The one reader of environment variables. A value counts as a whole, or it does not count and a line on stderr says
// so.
//
// Thread safety: as getenv: any thread may call it, as long as no thread changes the environment.
#pragma once

#include <optional>

namespace baton::sched {

// Reads a decimal number from least to most. Blanks may surround it. Returns nothing if the variable is not set, or if
// its value is not such a number; in the second case a line on stderr says so, and `instead` completes the line: "using
// the CPUs".
[[nodiscard]] std::optional<int> environment_number(const char* name, int least, int most,
                                                    const char* instead) noexcept;
// Returns true for 1, and false for 0 or if the variable is not set. Any other value counts as 0, with a line on
// stderr.
[[nodiscard]] bool environment_flag(const char* name) noexcept;

}  // namespace baton::sched
