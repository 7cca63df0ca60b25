// Public API: typed calls on the memory of the process. The rules that files.h states for all typed calls apply here,
// too.
//
// All but memfd_create switch: they wait for the lock of the address space, which other threads hold while they fault
// pages in, and some of them read or write pages. An access to the memory itself can wait for a device, too, and that
// is no call: the scheduler sees it late. Lengths are rounded up to pages; addresses must be at a page's begin
// (EINVAL).
#pragma once

#include <baton/syscall/c_string.h>
#include <baton/syscall/result.h>

#include <sys/mman.h>
#include <sys/types.h>
#include <cstddef>
#include <span>

namespace baton::sys {

// Switches. Maps `length` bytes of a file, or of nothing (MAP_ANONYMOUS, fd -1), and returns where. `at` is a wish, or
// with MAP_FIXED a command that replaces what is there. MAP_POPULATE reads the pages at once.
result<void*> mmap(void* at, std::size_t length, int protection, int flags, int fd, ::off_t offset) noexcept;
// Switches. Removes all mappings in that range.
result<void> munmap(void* at, std::size_t length) noexcept;
// Switches. Makes a mapping larger or smaller and returns where it is then. flags: MREMAP_MAYMOVE; MREMAP_FIXED uses
// new_at.
result<void*> mremap(void* at, std::size_t old_length, std::size_t new_length, int flags,
                     void* new_at = nullptr) noexcept;

// Switches. Allows reading, writing, executing (PROT_…).
result<void> mprotect(void* at, std::size_t length, int protection) noexcept;
// Switches. Writes a mapped file back: MS_SYNC waits for it, MS_ASYNC does not; MS_INVALIDATE.
result<void> msync(void* at, std::size_t length, int flags) noexcept;
// Switches. MADV_…: says what is coming, or drops pages.
result<void> madvise(void* at, std::size_t length, int advice) noexcept;

// Switches. Faults pages in and keeps them in memory, as far as RLIMIT_MEMLOCK allows (ENOMEM, EPERM, EAGAIN). mlockall
// and munlockall do so for all memory of the process, including the stacks of all fibers.
result<void> mlock(const void* at, std::size_t length) noexcept;
result<void> mlock2(const void* at, std::size_t length, unsigned flags) noexcept;
result<void> munlock(const void* at, std::size_t length) noexcept;
result<void> mlockall(int flags) noexcept;
result<void> munlockall() noexcept;

// Switches. Writes one byte for each page: its lowest bit says whether the page is in memory. EINVAL if `into` has
// fewer elements than the range has pages.
result<void> mincore(void* at, std::size_t length, std::span<unsigned char> into) noexcept;

// Makes a file that lives in memory and has no path; `name` is only shown in /proc. flags: MFD_CLOEXEC,
// MFD_ALLOW_SEALING, ….
result<int> memfd_create(const c_string& name, unsigned flags) noexcept;

}  // namespace baton::sys
