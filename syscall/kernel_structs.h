// Structures of the kernel that the C library declares differently, or not at all. Internal to baton.
#pragma once

#include <cstddef>
#include <cstdint>

namespace baton::sys::detail {

// The kernel's own struct sigaction. The C library's is larger, and has another layout.
struct kernel_sigaction {
  unsigned long handler = 0;  // 0: SIG_DFL, 1: SIG_IGN
  unsigned long rest[3] = {};
};

// The kernel's own sigset_t: 64 signals. The C library's calls leave two of them out.
inline constexpr int kernel_signals = 64;
inline constexpr std::size_t kernel_sigset_size = 8;

// The beginning of the kernel's struct linux_dirent64, which getdents64 fills in. The name follows at name_at, with a
// NUL at its end.
struct dirent_head {
  static constexpr std::size_t name_at = 19;

  std::uint64_t inode;
  std::int64_t offset;
  std::uint16_t size;  // of the whole entry
  std::uint8_t type;   // DT_REG …
};

}  // namespace baton::sys::detail
