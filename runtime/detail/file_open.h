// Opening a file by its name. Internal to runtime; users include file.h.
#pragma once

#include <baton/runtime/detail/file_kind.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/result.h>

#include <sys/types.h>

#include <string>

namespace baton::detail {

struct opened_file {
  int fd = -1;
  file_kind kind;
};

// Switches. Like open(2). Calls that have to fetch the path from a device, create the file, or truncate it, pass the
// gate of that device. Those that wait for the other end of a FIFO, or for the holder of a lease, keep no thread. The
// descriptor has O_NONBLOCK if the flags say so, or if it is neither a file on a device nor a directory.
[[nodiscard]] sys::result<opened_file> open_file(const std::string& path, int flags, mode_t mode) noexcept;

// Switches. Returns the gate of the device for which a walk along this path, or the file that it leads to, would have
// to wait.
[[nodiscard]] blocking_gate& gate_of_path(const std::string& path) noexcept;
// Switches. The same for the directory that has the last name of the path.
[[nodiscard]] blocking_gate& gate_of_parent(const std::string& path) noexcept;

}  // namespace baton::detail
