// The one reader of environment variables: a value counts as a whole, or not at all and then a line on stderr
// says so.
//
// Thread safety: as getenv: by anybody, as long as nobody changes the environment.
#pragma once

#include <optional>

namespace baton::sched {

// A decimal number from least to most; blanks may surround it. None: the variable is not set, or its value is
// not that; `instead` then completes the line: "using the CPUs".
[[nodiscard]] std::optional<int> environment_number(const char* name, int least, int most,
                                                    const char* instead) noexcept;
// 1: yes. 0, or not set: no; so is any other value, with a line.
[[nodiscard]] bool environment_flag(const char* name) noexcept;

}  // namespace baton::sched
