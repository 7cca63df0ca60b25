// Two things in open(2) may wait: the way to the file, for the device with its directories; and the file itself,
// a FIFO for its other end. The first is bounded by a gate, the second must not hold a place in it.
//
//   1. openat2 with RESOLVE_CACHED: the way is in memory, as it nearly always is. Done
//   2. EAGAIN: it is not. Behind the gate open it with O_PATH, which fetches the way and waits for nobody
//   3. open, without the gate: now only the file itself may wait
//
// Who finds no room in the gate for a while goes on without it: those inside may hang on a mount that is gone.
// What creates or cuts files RESOLVE_CACHED refuses, and it works on the device besides: all of it is done behind
// the gate, unless the file is there and is one that may wait for somebody. Kernels before 5.12, and some sandboxes,
// do not know RESOLVE_CACHED: then other files go to 3 at once.
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
  if ((flags & O_EXCL) == 0) {  // otherwise it is not there
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
