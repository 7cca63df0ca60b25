// Reads and writes of files that have to wait for a device, by io_uring: the fiber parks, and no thread waits for it.
// Internal to netpoll and runtime. ring.cc has the protocol.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/result.h>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace baton::net::ring {

// Transfers on their way to the kernel and back, at most. Further ones wait in the ring's queue.
inline constexpr unsigned transfers_max = 1024;

// A hint: false once the kernel has refused io_uring to this process, and in the child of a fork.
[[nodiscard]] bool is_there() noexcept;

// Switches. As pread and pwrite. The buffer is used until the call returns, whatever ends it. Fails with ENOSYS if
// there is no io_uring, or none for the moment; nothing was transferred then. Other errors are the kernel's. Among them
// is ECANCELED after cancel(). A read may return 0 where the content does not end (Linux 5.10).
sys::result<std::size_t> read(int fd, bytes into, off_t offset) noexcept;
sys::result<std::size_t> write(int fd, const_bytes from, off_t offset) noexcept;

// Switches. Tries to end the transfers of this descriptor that are under way. What the device has begun it finishes.
// So the caller has to wait for the transfers nevertheless. Linux before 5.19 ends none.
void cancel(int fd) noexcept;

// Ends the ring's thread, if no transfer is under way; the next transfer starts it again. Waits for its end.
void end() noexcept;

// For tests: the number of transfers that io_uring has done since the process began.
[[nodiscard]] std::uint64_t transfers() noexcept;

}  // namespace baton::net::ring
