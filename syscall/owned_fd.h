// Public API: a descriptor with an owner. It is closed when the owner is destroyed.
#pragma once

#include <baton/syscall/direct_call.h>

#include <sys/syscall.h>
#include <utility>

namespace baton::sys {

// Move-only. Holds a descriptor or none (-1). Destruction, reset() and assignment close the descriptor with a bare
// close(2): the scheduler is not told, nothing switches, errno is left alone, and an error is dropped. Where close can
// block (SO_LINGER, the last reference on a network file system) and its error matters, call sys::close(fd.release()).
// Only one thread at a time may use an object.
class owned_fd {
 public:
  constexpr owned_fd() noexcept = default;
  explicit constexpr owned_fd(int fd) noexcept : fd_(fd) {}
  owned_fd(owned_fd&& other) noexcept : fd_(other.release()) {}
  owned_fd& operator=(owned_fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  owned_fd(const owned_fd&) = delete;
  owned_fd& operator=(const owned_fd&) = delete;
  ~owned_fd() { reset(); }

  // Returns the descriptor, which stays owned; -1: none.
  [[nodiscard]] constexpr int get() const noexcept { return fd_; }
  constexpr explicit operator bool() const noexcept { return fd_ >= 0; }

  // Returns the descriptor, which then belongs to the caller.
  [[nodiscard]] constexpr int release() noexcept { return std::exchange(fd_, -1); }

  // Closes the descriptor, and holds fd from then on.
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) (void)detail::call<SYS_close, void, detail::on_eintr::report>(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace baton::sys
