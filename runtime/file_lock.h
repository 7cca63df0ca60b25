// Public API: a lock between processes, by flock(2) on a file.
//
//   auto one = baton::file_lock::try_acquire("/run/service.lock");
//   if (!one.ok()) return one.status();             // UNAVAILABLE: another instance runs
//
// The lock belongs to the object, not to the fiber, thread or process. Two objects of one process exclude each other,
// too. It is advisory: only those that lock the same file notice. The kernel releases it when the process ends. A file
// on NFS is locked on its server.
#pragma once

#include <baton/runtime/context.h>
#include <baton/syscall/owned_fd.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

namespace baton {

enum class lock_mode : std::uint8_t {
  shared,     // beside others that share
  exclusive,  // alone
};

// Move-only. Its destructor releases the lock. Empty objects, and those moved from, hold nothing. For one fiber or
// thread at a time.
class file_lock {
 public:
  file_lock() noexcept = default;
  file_lock(file_lock&& other) noexcept : fd_(std::move(other.fd_)), device_(other.device_) {}
  file_lock& operator=(file_lock&& other) noexcept;  // Switches. Releases the former lock.
  ~file_lock() { release(); }                        // Switches.

  // Switches. Waits until the lock is to be had, or the context is done. The file is made (mode 0600) if it is missing,
  // and never removed. flock cannot be polled, and a thread for each that waits would be too many. So the fiber tries
  // again after pauses of 1 ms at first and 20 ms at most. There is no order among those that wait. Errors: the
  // context's; those of open(2); ENOLCK, ENOMEM.
  [[nodiscard]] static absl::StatusOr<file_lock> acquire(const std::string& path, lock_mode mode = lock_mode::exclusive,
                                                         const context& ctx = {});
  // Switches. Does not wait: UNAVAILABLE (EWOULDBLOCK) if another object holds the lock.
  [[nodiscard]] static absl::StatusOr<file_lock> try_acquire(const std::string& path,
                                                             lock_mode mode = lock_mode::exclusive);

  // Switches. Releases the lock, if the object holds one.
  void release() noexcept;
  [[nodiscard]] bool holds() const noexcept { return static_cast<bool>(fd_); }
  // The descriptor of the file, which stays the object's, or -1. For writing a process id into the file, for instance.
  [[nodiscard]] int native_handle() const noexcept { return fd_.get(); }

 private:
  file_lock(sys::owned_fd fd, dev_t device) noexcept : fd_(std::move(fd)), device_(device) {}
  sys::owned_fd fd_;
  dev_t device_ = 0;
};

}  // namespace baton
