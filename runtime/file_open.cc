// Two things in open(2) may wait: the way to the file, for the device with its directories; and the file itself,
// a FIFO for its other end. The first is bounded by a gate, the second must not hold a place in it.
//
//   1. openat2 with RESOLVE_CACHED: the way is in memory, as it nearly always is. Done
//   2. EAGAIN: it is not. Behind the gate open it with O_PATH, which fetches the way and waits for nobody
//   3. open, without the gate: now only the file itself may wait
//
// Who finds no room in the gate for a while goes on without it: those inside may hang on a mount that is gone.
// What creates or cuts files RESOLVE_CACHED refuses; kernels before 5.12, and some sandboxes, do not know it:
// these go to 3 at once.
#include <baton/runtime/file_open.h>

#include <baton/runtime/file_gate.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <cerrno>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

namespace baton::detail {

namespace {

namespace mo = sched::platform::mo;

constexpr std::int64_t patience_ns = 1'000'000'000;

union never_destroyed {
  constexpr never_destroyed() noexcept : gate(file_calls_at_once) {}
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

}  // namespace

sys::result<int> open_file(const std::string& path, int flags, mode_t mode) noexcept {
  // O_TMPFILE has the bit of O_DIRECTORY, too.
  const bool may_be_cached = (flags & (O_CREAT | O_TRUNC | O_TMPFILE | O_PATH)) == 0;
  // relaxed: a hint.
  if (!may_be_cached || !knows_cached.load(mo::relaxed)) return sys::open(path, flags, mode);
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
