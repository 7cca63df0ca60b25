// A sleep for code that has to go on without memory. Internal.
#pragma once

#include <cstdint>

namespace baton::detail {

// Switches. Sleeps for that long. Where there is no memory for a timer, the thread sleeps, in a declared call.
void sleep_anyway(std::int64_t ns) noexcept;

}  // namespace baton::detail
