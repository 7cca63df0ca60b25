// The properties of a descriptor that decide how its calls wait. Internal to runtime.
#pragma once

#include <baton/syscall/result.h>

#include <sys/stat.h>
#include <sys/types.h>

namespace baton::detail {

struct file_kind {
  mode_t mode = 0;   // st_mode
  dev_t device = 0;  // a block device itself; otherwise the one with the file, st_dev

  // Its calls end when the device answers. Those of other files may last for ever.
  [[nodiscard]] bool on_device() const noexcept { return S_ISREG(mode) || S_ISDIR(mode) || S_ISBLK(mode); }
};

// Switches. Asks no server of a network file system, because neither the type nor the device of a file changes.
[[nodiscard]] sys::result<file_kind> kind_of(int fd) noexcept;

}  // namespace baton::detail
