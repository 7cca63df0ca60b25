// How many calls on regular files block a thread at once. Internal to runtime.
#pragma once

#include <baton/syscall/blocking_gate.h>

#include <sys/types.h>

namespace baton::detail {

// What a device is asked at once, by all of this process, and never more than a quarter of max_threads: a disk that
// can do more is better served by io_uring than by more threads.
inline constexpr int file_calls_at_once = 64;

// The gate of the regular files on this device (st_dev). Never null, never destroyed: what hangs on one mount
// keeps nobody from the others. Never switches.
[[nodiscard]] blocking_gate& file_gate_of(dev_t device) noexcept;

}  // namespace baton::detail
