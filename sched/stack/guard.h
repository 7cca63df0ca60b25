// Makes the low end of stacks fault, in the best way that the kernel and its limits allow.
//
//   guard_region     MADV_GUARD_INSTALL (Linux 6.13): marks in the page table, no mapping of their own. The first one
//                    is tried out
//   mprotect_pages   mprotect(PROT_NONE): two mappings a stack, of which vm.max_map_count allows 65,530
//   none             nothing; one warning on stderr
#pragma once

#include <baton/sched/platform/atomic.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

enum class guard_kind : std::uint8_t { guard_region, mprotect_pages, none };

// Thread safety: only one thread at a time may call install, warning_due and set_for_test (the pool calls them under
// its lock). Any thread may call the other functions.
class guard_installer {
 public:
  // Guards [first + i * stride, + bytes) for i in [0, count), page aligned, within one mapping. failures() counts the
  // guards that cannot be installed. Keeps errno.
  void install(std::byte* first, std::size_t stride, std::size_t bytes, std::size_t count) noexcept;

  // Returns the kind that the next stack gets, as far as is known.
  [[nodiscard]] guard_kind kind() const noexcept { return kind_.load(platform::mo::relaxed); }
  [[nodiscard]] std::uint64_t failures() const noexcept { return failures_.load(platform::mo::relaxed); }

  // Returns true once, after the first stack without a guard. The caller then calls warn(), outside its locks.
  [[nodiscard]] bool warning_due() noexcept;
  void warn() const noexcept;

  // Continues with this kind. mprotect gives up after this many more guards (0: the limit of this system).
  void set_for_test(guard_kind kind, std::size_t mprotect_guards_max) noexcept;

 private:
  std::size_t install_regions(std::byte* first, std::size_t stride, std::size_t bytes, std::size_t count) noexcept;
  bool protect_pages(std::byte* at, std::size_t bytes) noexcept;
  void fall_back(guard_kind to, int error) noexcept;

  platform::atomic<guard_kind> kind_{guard_kind::guard_region};
  platform::atomic<std::uint64_t> installed_{0};
  platform::atomic<std::uint64_t> failures_{0};
  std::size_t mprotect_left_ = 0;  // guards that mprotect may still install
  bool mprotect_counted_ = false;  // mprotect_left_ is set
  bool region_tried_ = false;      // the first guard region was put to the test
  bool warned_ = false;
  int error_ = 0;                   // why there is no guard; 0: mprotect_left_ is used up
  std::uint64_t without_from_ = 0;  // how many stacks had a guard before the first without one
};

// Installs one guard region. Returns false, with errno set, where the kernel has none. Does not fall back, and does not
// try the guard out.
[[nodiscard]] bool install_guard_region(std::byte* at, std::size_t bytes) noexcept;

}  // namespace baton::sched
