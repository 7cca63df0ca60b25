// How many calls on regular files block a thread at once. Internal to runtime.
#pragma once

#include <baton/syscall/blocking_gate.h>

#include <sys/types.h>

namespace baton::detail {

// How many calls this whole process makes on one device at once, and never more than a quarter of max_threads. A disk
// that can do more is better served by io_uring than by more threads.
inline constexpr int file_calls_at_once = 64;

// The gate of the regular files on this device (st_dev). Never destroyed. Calls that hang on one mount do not keep
// others from theirs. Never switches.
[[nodiscard]] blocking_gate& file_gate_of(dev_t device) noexcept;

}  // namespace baton::detail
