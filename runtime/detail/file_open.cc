// Four things in open(2) may wait: the path walk, for the device with its directories; creating or truncating the file,
// for the same device; a FIFO, for its other end; a file with a lease, for the holder. A gate for each device bounds
// the first two. The others may last for ever, so they must neither hold a place in a gate nor keep a thread.
//
//   1. openat2 with RESOLVE_CACHED and O_NONBLOCK: the path is in memory, as it nearly always is. The open is done.
//      A file system with a server (FUSE, NFS) may still ask that for the open itself. So only a few calls are in this
//      step at once; the others begin with 2.
//   2. EAGAIN: the path is not in memory, or there is a lease. Behind the gate of the device, open with O_NONBLOCK.
//      RESOLVE_CACHED refuses to create or truncate files, so such opens begin here.
//   3. EAGAIN: the file has a lease. The try has told its holder. ENXIO: a FIFO without a reader. Pause, and begin
//      again.
//   4. A FIFO that is open for reading has no writer yet: pause, and look again.
//
// No event tells when the other end of a FIFO is opened (a poll of one end reports only data and its end), or when a
// lease is given up. So 3 and 4 look again, after pauses of 1 ms at first and 20 ms at most.
//
// With O_NONBLOCK, the open of a device does not wait either (a serial line for its carrier). io_uring opens all files
// this way. A drive without a medium would open as if it had one: a block device is opened once more without the flag.
// (The first one is closed before: with O_EXCL the two would exclude each other.)
//
// The gate of a path: the device of the longest part of it that is in memory. A hung mount has its root in memory, so
// the calls that wait for it have a gate of their own.
//
// Kernels before 5.12, and some sandboxes, do not know RESOLVE_CACHED. All opens begin with 2 there, behind one gate.
#include <baton/runtime/detail/file_open.h>

#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/sleep_anyway.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

namespace baton::detail {

namespace {

namespace mo = sched::platform::mo;

constexpr dev_t unknown_device = 0;  // the kernel numbers devices from 1 on

constinit sched::platform::atomic<bool> knows_cached{true};

constinit sched::platform::atomic<int> quick_opens{0};

// A place among the few opens that pass no gate.
class quick_open {
 public:
  // relaxed: a number, which orders nothing.
  quick_open() noexcept : has_place_(quick_opens.fetch_add(1, mo::relaxed) < most()) {}
  ~quick_open() { quick_opens.fetch_sub(1, mo::relaxed); }
  quick_open(const quick_open&) = delete;
  quick_open& operator=(const quick_open&) = delete;
  explicit operator bool() const noexcept { return has_place_; }

 private:
  static int most() noexcept { return std::clamp(sched::max_threads() / 8, 1, 16); }
  const bool has_place_;
};

sys::result<int> open_in_memory(const sys::c_string& path, int flags) noexcept {
  ::open_how how{};
  how.flags = static_cast<std::uint32_t>(flags);
  how.resolve = RESOLVE_CACHED;
  return sys::openat2(AT_FDCWD, path, how);
}

bool never_heard_of(int error) noexcept { return error == EINVAL || error == ENOSYS || error == EPERM; }

// openat2 refuses combinations of flags, too, which openat takes. So it is asked for what it cannot refuse.
void note_if_cached_is_unknown() noexcept {
  const sys::result<int> root = open_in_memory("/", O_PATH | O_CLOEXEC);
  const sys::owned_fd owner(root.value_or(-1));
  if (never_heard_of(root.error())) knows_cached.store(false, mo::relaxed);
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
    if (const quick_open quick; quick) {
      const sys::result<int> at_once = open_in_memory(path, flags);
      unknown = never_heard_of(at_once.error());
      if (!unknown && at_once.error() != EAGAIN) return at_once;
    }
  }
  const sys::result<int> fd = blocking(gate_of_path(path), [&]() noexcept { return sys::open(path, flags, mode); });
  if (unknown && fd) note_if_cached_is_unknown();
  return fd;
}

bool is_fifo(const std::string& path) noexcept {
  const auto about = blocking(gate_of_path(path), [&]() noexcept { return sys::stat(path); });
  return about && S_ISFIFO(about->st_mode);
}

// The path without its last name; empty if nothing is before that.
std::string_view parent_of(std::string_view path) noexcept {
  const std::size_t end = path.find_last_not_of('/');
  if (end == std::string_view::npos) return path.substr(0, 1);
  const std::size_t slash = path.find_last_of('/', end);
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, std::max<std::size_t>(slash, 1));
}

blocking_gate& gate_of(std::string_view way) noexcept {
  for (; knows_cached.load(mo::relaxed); way = parent_of(way)) {
    const sys::owned_fd part(open_in_memory(way.empty() ? "." : way, O_PATH | O_CLOEXEC).value_or(-1));
    if (part) return file_gate_of(kind_of(part.get()).value_or(file_kind{0, unknown_device}).device);
    if (way.empty() || way == "/") break;
  }
  return file_gate_of(unknown_device);
}

}  // namespace

blocking_gate& gate_of_path(const std::string& path) noexcept { return gate_of(path); }
blocking_gate& gate_of_parent(const std::string& path) noexcept { return gate_of(parent_of(path)); }

sys::result<opened_file> open_file(const std::string& path, int flags, mode_t mode) noexcept {
  const bool may_wait = (flags & (O_NONBLOCK | O_PATH)) == 0;
  growing_pause pause;
  sys::result<int> fd = sys::failure(EAGAIN);
  for (;;) {
    fd = try_to_open(path, may_wait ? flags | O_NONBLOCK : flags, mode);
    if (fd || !may_wait) break;
    const bool no_reader = fd.error() == ENXIO && (flags & O_ACCMODE) == O_WRONLY && is_fifo(path);
    if (fd.error() != EAGAIN && !no_reader) break;
    pause.sleep();
  }
  if (!fd) return sys::failure(fd.error());
  sys::owned_fd owner(*fd);
  sys::result<file_kind> kind = kind_of(*fd);
  if (kind && may_wait) {
    if (S_ISFIFO(kind->mode) && (flags & O_ACCMODE) == O_RDONLY) {
      while (!has_writer(*fd)) pause.sleep();
    } else if (S_ISREG(kind->mode) || S_ISDIR(kind->mode)) {
      if (const auto now = sys::fcntl(*fd, F_GETFL)) static_cast<void>(sys::fcntl(*fd, F_SETFL, *now & ~O_NONBLOCK));
    } else if (S_ISBLK(kind->mode)) {
      const auto again = blocking(file_gate_of(kind->device), [&]() noexcept {
        owner.reset();
        return sys::open(path, flags, mode);
      });
      if (!again) return sys::failure(again.error());
      owner.reset(*again);
      kind = kind_of(*again);
    }
  }
  if (!kind) return sys::failure(kind.error());
  return opened_file{owner.release(), *kind};
}

}  // namespace baton::detail
