// Two things in open(2) may wait: the path walk, for the device with its directories; and the file itself, if it is a
// FIFO, for its other end. A gate bounds the first. The second must not hold a place in the gate.
//
//   1. openat2 with RESOLVE_CACHED: the path is in memory, as it nearly always is. The open is done.
//   2. EAGAIN: the path is not in memory. Behind the gate, open the file with O_PATH, which fetches the path and waits
//      for no other process.
//   3. open, without the gate: now only the file itself may wait.
//
// A caller that finds no room in the gate for a while goes on without it, because the calls inside may hang on a mount
// that is gone. RESOLVE_CACHED refuses to create or truncate files, and creating or truncating works on the device
// anyway. So all of it is done behind the gate, unless the file exists and is one that may wait for another process.
// Kernels before 5.12, and some sandboxes, do not know RESOLVE_CACHED. Other files go to 3 at once then.
#include <baton/runtime/detail/file_open.h>

#include <baton/runtime/detail/file_gate.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <cerrno>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

namespace baton::detail {

namespace {

namespace mo = sched::platform::mo;

constexpr std::int64_t patience_ns = 1'000'000'000;

union never_destroyed {
  constexpr never_destroyed() noexcept : gate(file_calls_at_once, share_of_threads{}) {}
  ~never_destroyed() {}
  blocking_gate gate;
};
constinit never_destroyed ways;

constinit sched::platform::atomic<bool> knows_cached{true};

void fetch_way(const std::string& path) noexcept {
  gate_entry entry(ways.gate);
  static_cast<void>(entry.enter(deadline_after_ns(patience_ns)));
  const sys::owned_fd nothing(sys::open(path, O_PATH | O_CLOEXEC).value_or(-1));
}

sys::result<int> create_or_cut(const std::string& path, int flags, mode_t mode) noexcept {
  gate_entry entry(ways.gate);
  static_cast<void>(entry.enter(deadline_after_ns(patience_ns)));
  if ((flags & O_EXCL) == 0) {  // otherwise the file does not exist
    const auto about = sys::stat(path);
    const bool may_wait = about && !S_ISREG(about->st_mode) && !S_ISDIR(about->st_mode);
    if (may_wait) entry.leave();
  }
  return sys::open(path, flags, mode);
}

}  // namespace

blocking_gate& opening_gate() noexcept { return ways.gate; }

sys::result<int> open_file(const std::string& path, int flags, mode_t mode) noexcept {
  const bool makes_a_file = (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  if (makes_a_file && (flags & O_PATH) == 0) return create_or_cut(path, flags, mode);
  // relaxed: a hint.
  if ((flags & O_PATH) != 0 || !knows_cached.load(mo::relaxed)) return sys::open(path, flags, mode);
  ::open_how how{};
  how.flags = static_cast<std::uint32_t>(flags);
  how.resolve = RESOLVE_CACHED;
  const sys::result<int> at_once = sys::openat2(AT_FDCWD, path, how);
  if (at_once) return at_once;
  if (at_once.error() == EAGAIN) fetch_way(path);
  const sys::result<int> fd = sys::open(path, flags, mode);
  const bool unknown = at_once.error() == EINVAL || at_once.error() == ENOSYS || at_once.error() == EPERM;
  if (unknown && fd) knows_cached.store(false, mo::relaxed);
  return fd;
}

}  // namespace baton::detail
