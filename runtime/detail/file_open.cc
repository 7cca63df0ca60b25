// Four things in open(2) may wait: the path walk, for the device with its directories; creating or truncating the file,
// for the same device; a FIFO, for its other end; a file with a lease, for the holder. A gate for each device bounds
// the first two. The others may last for ever, so they must neither hold a place in a gate nor keep a thread.
//
//   1. openat2 with RESOLVE_CACHED and O_NONBLOCK: the path is in memory, as it nearly always is. The open is done.
//   2. EAGAIN: the path is not in memory, or there is a lease. Behind the gate of the device, open with O_NONBLOCK.
//      RESOLVE_CACHED refuses to create or truncate files, so such opens begin here.
//   3. EAGAIN: the file has a lease. The try has told its holder. ENXIO: a FIFO without a reader. Pause, and begin
//      again.
//   4. A FIFO that is open for reading has no writer yet: pause, and look again.
//
// Nothing tells when the other end of a FIFO is opened (a poll of one end reports only data and its end), or when a
// lease is given up. So 3 and 4 look again, after pauses of 1 ms at first and 20 ms at most.
//
// With O_NONBLOCK, the open of a device does not wait either (a serial line for its carrier). io_uring opens all files
// so. A drive without a medium would open as if it had one: a block device is opened once more without the flag.
//
// The gate of a path that is not in memory: the device of the longest part of it that is. A hung mount has its root in
// memory, so the calls that wait for it have a gate of their own.
//
// Kernels before 5.12, and some sandboxes, do not know RESOLVE_CACHED. All opens begin with 2 there, behind one gate.
#include <baton/runtime/detail/file_open.h>

#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/sleep_anyway.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

namespace baton::detail {

namespace {

namespace mo = sched::platform::mo;

constexpr std::int64_t first_pause_ns = 1'000'000;
constexpr std::int64_t pause_max_ns = 20'000'000;
constexpr dev_t unknown_device = 0;  // the kernel numbers devices from 1 on

constinit sched::platform::atomic<bool> knows_cached{true};

void pause(std::int64_t& how_long_ns) noexcept {
  sleep_anyway(how_long_ns);
  how_long_ns = std::min(2 * how_long_ns, pause_max_ns);
}

sys::result<int> open_in_memory(const sys::c_string& path, int flags) noexcept {
  ::open_how how{};
  how.flags = static_cast<std::uint32_t>(flags);
  how.resolve = RESOLVE_CACHED;
  return sys::openat2(AT_FDCWD, path, how);
}

// Does not ask the server of a network file system.
dev_t device_of(int fd) noexcept {
  struct ::statx about {};
  const auto done = sys::detail::call<SYS_statx, void>(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0U, &about);
  return done ? makedev(about.stx_dev_major, about.stx_dev_minor) : unknown_device;
}

bool has_writer(int fifo) noexcept {
  // A read to an address that does not exist takes nothing. 0: there is no writer. EAGAIN: there is one. EFAULT: there
  // is even data.
  const auto probe = sys::nb::read(fifo, bytes(nullptr, 1));
  if (!probe || *probe != 0) return true;
  // One may have come and gone.
  ::pollfd one{fifo, 0, 0};
  const auto ready = sys::poll({&one, 1}, 0);
  return !ready || (one.revents & POLLHUP) != 0;
}

sys::result<int> try_to_open(const std::string& path, int flags, mode_t mode) noexcept {
  const bool makes_a_file = (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  bool unknown = false;
  // relaxed: a hint.
  if (!makes_a_file && knows_cached.load(mo::relaxed)) {
    const sys::result<int> at_once = open_in_memory(path, flags);
    unknown = at_once.error() == EINVAL || at_once.error() == ENOSYS || at_once.error() == EPERM;
    if (!unknown && at_once.error() != EAGAIN) return at_once;
  }
  const sys::result<int> fd = blocking(gate_of_path(path), [&]() noexcept { return sys::open(path, flags, mode); });
  if (unknown && fd) knows_cached.store(false, mo::relaxed);
  return fd;
}

bool is_fifo(const std::string& path) noexcept {
  const auto about = blocking(gate_of_path(path), [&]() noexcept { return sys::stat(path); });
  return about && S_ISFIFO(about->st_mode);
}

}  // namespace

blocking_gate& gate_of_path(const std::string& path) noexcept {
  std::string_view way = path;
  while (knows_cached.load(mo::relaxed)) {
    const std::size_t slash = way.find_last_not_of('/') == std::string_view::npos
                                  ? std::string_view::npos
                                  : way.find_last_of('/', way.find_last_not_of('/'));
    way = slash == std::string_view::npos ? std::string_view() : way.substr(0, std::max<std::size_t>(slash, 1));
    const sys::owned_fd part(open_in_memory(way.empty() ? "." : way, O_PATH | O_CLOEXEC).value_or(-1));
    if (part) return file_gate_of(device_of(part.get()));
    if (way.empty() || way == "/") break;
  }
  return file_gate_of(unknown_device);
}

sys::result<opened_file> open_file(const std::string& path, int flags, mode_t mode) noexcept {
  const bool may_wait = (flags & (O_NONBLOCK | O_PATH)) == 0;
  std::int64_t pause_ns = first_pause_ns;
  sys::result<int> fd = sys::failure(EAGAIN);
  for (;;) {
    fd = try_to_open(path, may_wait ? flags | O_NONBLOCK : flags, mode);
    if (fd || !may_wait) break;
    const bool no_reader = fd.error() == ENXIO && (flags & O_ACCMODE) == O_WRONLY && is_fifo(path);
    if (fd.error() != EAGAIN && !no_reader) break;
    pause(pause_ns);
  }
  if (!fd) return sys::failure(fd.error());
  sys::owned_fd owner(*fd);
  opened_file f;
  if (const auto known = sys::fstat(*fd, &f.about); !known) return sys::failure(known.error());
  if (!may_wait) return f.fd = owner.release(), f;
  if (S_ISFIFO(f.about.st_mode) && (flags & O_ACCMODE) == O_RDONLY) {
    while (!has_writer(*fd)) pause(pause_ns);
  } else if (S_ISREG(f.about.st_mode) || S_ISDIR(f.about.st_mode)) {
    if (const auto now = sys::fcntl(*fd, F_GETFL)) static_cast<void>(sys::fcntl(*fd, F_SETFL, *now & ~O_NONBLOCK));
  } else if (S_ISBLK(f.about.st_mode)) {
    const auto again = blocking(file_gate_of(f.about.st_rdev), [&]() noexcept { return sys::open(path, flags, mode); });
    if (!again) return sys::failure(again.error());
    owner.reset(*again);
  }
  f.fd = owner.release();
  return f;
}

}  // namespace baton::detail
