// A child that was forked meanwhile shares the open file, and with it the lock. So release() unlocks before it closes.
#include <baton/runtime/file_lock.h>

#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/file_open.h>
#include <baton/sched/lifecycle.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/files.h>
#include <baton/syscall/status.h>

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace baton {

namespace {

using std::chrono::milliseconds;
constexpr milliseconds first_pause{1};
constexpr milliseconds pause_max{20};

int operation_of(lock_mode mode) noexcept { return (mode == lock_mode::shared ? LOCK_SH : LOCK_EX) | LOCK_NB; }

sys::result<detail::opened_file> open(const std::string& path) noexcept {
  // An exclusive lock on NFS needs a file that may be written.
  const auto both = detail::open_file(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
  if (both.error() != EACCES && both.error() != EROFS && both.error() != EISDIR && both.error() != ETXTBSY) return both;
  const auto read_only = detail::open_file(path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
  return read_only ? read_only : both;
}

// Requires: `file` is open.
sys::result<void> try_lock(const detail::opened_file& file, lock_mode mode) noexcept {
  return blocking(detail::file_gate_of(file.kind.device),
                  [&]() noexcept { return sys::flock(file.fd, operation_of(mode)); });
}

}  // namespace

file_lock& file_lock::operator=(file_lock&& other) noexcept {
  if (this != &other) {
    release();
    fd_ = std::move(other.fd_);
    device_ = other.device_;
  }
  return *this;
}

void file_lock::release() noexcept {
  if (!fd_) return;
  const auto unlock_and_close = [fd = fd_.release()]() noexcept {
    static_cast<void>(sys::flock(fd, LOCK_UN));
    return sys::close(fd);
  };
  // After exit() the calls inside the gate may never leave it.
  static_cast<void>(sched::is_ending() ? unlock_and_close()
                                       : blocking(detail::gates_of(device_).closes, unlock_and_close));
}

absl::StatusOr<file_lock> file_lock::try_acquire(const std::string& path, lock_mode mode) {
  const auto file = open(path);
  if (!file) return file.status("open " + path);
  sys::owned_fd owner(file->fd);
  if (const auto done = try_lock(*file, mode); !done) return done.status("lock " + path);
  return file_lock(std::move(owner), file->kind.device);
}

absl::StatusOr<file_lock> file_lock::acquire(const std::string& path, lock_mode mode, const context& ctx) {
  if (ctx.is_done()) return status_for_reason(ctx.error(), "lock " + path);
  const auto file = open(path);
  if (!file) return file.status("open " + path);
  sys::owned_fd owner(file->fd);
  for (milliseconds pause = first_pause;; pause = std::min(2 * pause, pause_max)) {
    const auto done = try_lock(*file, mode);
    if (done) return file_lock(std::move(owner), file->kind.device);
    if (done.error() != EWOULDBLOCK) return done.status("lock " + path);
    if (ctx.wait_done_for(pause)) return status_for_reason(ctx.error(), "lock " + path);
  }
}

}  // namespace baton
