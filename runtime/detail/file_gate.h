// How many calls on regular files block a thread at once. Internal to runtime.
#pragma once

#include <baton/syscall/blocking_gate.h>

#include <sys/types.h>

namespace baton::detail {

// How many calls this whole process makes on one device at once, and never more than a quarter of max_threads. What
// io_uring can do does not count.
inline constexpr int file_calls_at_once = 64;

// How many transfers of one device io_uring has at once. A device that hangs leaves most of the ring to others.
inline constexpr int file_transfers_at_once = 256;

// The closes of files of one device that may be under way at once. They have a gate of their own: most do not wait for
// the device, even if it answers no other call.
inline constexpr int file_closes_at_once = 16;

struct device_gates {
  constexpr device_gates() noexcept = default;
  blocking_gate threads{file_calls_at_once, share_of_threads{}};  // calls that block a thread
  blocking_gate closes{file_closes_at_once, share_of_threads{}};
  blocking_gate ring{file_transfers_at_once};  // transfers by io_uring
};

// The gates of the files on this device (st_dev). Never destroyed. Calls that hang on one mount do not keep others from
// theirs. Never switches.
[[nodiscard]] device_gates& gates_of(dev_t device) noexcept;
[[nodiscard]] inline blocking_gate& file_gate_of(dev_t device) noexcept { return gates_of(device).threads; }

}  // namespace baton::detail
