// Reading, in one of three ways:
//
//   asking    preadv2 with RWF_NOWAIT gives what is in memory without telling the scheduler, because it cannot
//             block. EAGAIN means that the device is needed: then comes the blocking call. So a file begins
//   trusting  preadv2 takes a tenth longer than pread (4 KiB: some 60 ns). A file whose reads have all been in
//             memory for long is read by pread, declared as short. If one of them has to wait, its P waits too,
//             until the monitor takes it (half a millisecond where work waits), and the file is asked again. Not
//             pipes, terminals and the like: there, to wait is nothing unusual
//   telling   file systems that do not know the flag say EOPNOTSUPP, once per open file: a declared call, which
//             learns (call_site.h)
//
// When to trust: once asking has cost as much as one surprise does. Then, whatever comes, both together cost about
// twice what the better of the two would have, at most.
#include <baton/runtime/file.h>

#include <baton/sched/handoff.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/sampling.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/status.h>

#include <absl/strings/str_cat.h>

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>

namespace baton {

namespace platform = sched::platform;

namespace {

constexpr off_t at_position = -1;

// Reads in a row that asked and were answered, before nobody asks any more: 60 ns each, half a millisecond.
constexpr std::uint32_t trusted_from = 8192;
// The count is shared by all who read the file, so only one in 64 reads adds to it, for all of them, by chance.
constexpr std::uint32_t counted_every = 64;
constexpr std::uint32_t cannot_ask = std::numeric_limits<std::uint32_t>::max();

constinit sched::call_site trusting("baton::file: a read of what has been in memory for long");

// A file that says it is larger gets its memory step by step, as its content turns up.
constexpr std::size_t believed_size_max = std::size_t{64} << 20;
constexpr std::size_t first_guess = 4096;  // for files that do not say how large they are

// Of files whose content lies on a device, not with somebody who may write some more.
bool waiting_is_unusual(int fd) noexcept {
  const auto about = sys::fstat(fd);
  return about && (S_ISREG(about->st_mode) || S_ISBLK(about->st_mode));
}

std::size_t first_size(const absl::StatusOr<struct stat>& about) {
  if (!about.ok() || !S_ISREG(about->st_mode) || about->st_size <= 0) return first_guess;
  // One more, so that the read that finds the end needs no larger buffer.
  return std::min(static_cast<std::size_t>(about->st_size), believed_size_max) + 1;
}

}  // namespace

file& file::operator=(file&& other) noexcept {
  if (this == &other) return *this;
  close().IgnoreError();
  fd_ = std::exchange(other.fd_, -1);
  path_ = std::move(other.path_);
  // relaxed, here and below: a hint that any call may set and any may miss.
  cached_in_a_row_.store(other.cached_in_a_row_.load(platform::mo::relaxed), platform::mo::relaxed);
  return *this;
}

file::~file() {
  if (fd_ >= 0) static_cast<void>(sys::close(fd_));
}

std::string file::what(const char* operation) const { return absl::StrCat(operation, " ", path_); }

absl::StatusOr<file> file::open(const std::string& path, int flags, mode_t mode) {
  const sys::result<int> fd = sys::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (!fd) return fd.status(absl::StrCat("open ", path));
  return file(*fd, path);
}

file file::adopt(int fd, std::string name) { return file(fd, std::move(name)); }

// An error: whoever wants to know must wait, or gets the same one again.
sys::result<std::size_t> file::ask(bytes buffer, off_t offset) {
  const ::iovec one = as_iovec(buffer);
  const sys::result<std::size_t> n = sys::nb::preadv2(fd_, {&one, 1}, offset, RWF_NOWAIT);
  if (n) {
    if (sched::one_in_64(platform::ticks())) {
      const std::uint32_t row = cached_in_a_row_.load(platform::mo::relaxed) + counted_every;
      const bool goes_on = row < trusted_from || waiting_is_unusual(fd_);
      cached_in_a_row_.store(goes_on ? row : 0, platform::mo::relaxed);
    }
    return n;
  }
  // The kernel, the file system, or a filter of system calls does not know it. (Or it is an error that comes again.)
  const bool never = n.error() == EOPNOTSUPP || n.error() == EINVAL || n.error() == ENOSYS || n.error() == EPERM;
  cached_in_a_row_.store(never ? cannot_ask : 0, platform::mo::relaxed);
  return n;
}

sys::result<std::size_t> file::trust(bytes buffer, off_t offset) {
  const bool kept = sched::begin_short_call(trusting);
  const auto n = offset == at_position ? sys::nb::read(fd_, buffer) : sys::nb::pread(fd_, buffer, offset);
  const bool waited = sched::end_call(sched::stay::anywhere) && kept;
  if (waited) cached_in_a_row_.store(0, platform::mo::relaxed);
  return n;
}

sys::result<std::size_t> file::read_from(bytes buffer, off_t offset) {
  const std::uint32_t row = cached_in_a_row_.load(platform::mo::relaxed);
  if (row < trusted_from) {
    const auto n = ask(buffer, offset);
    if (n) {
      sched::yield_if_due();
      return n;
    }
  } else if (row != cannot_ask) {
    return trust(buffer, offset);
  }
  return offset == at_position ? sys::read(fd_, buffer) : sys::pread(fd_, buffer, offset);
}

absl::StatusOr<std::size_t> file::read(bytes buffer) {
  const auto n = read_from(buffer, at_position);
  if (!n) return n.status(what("read"));
  return *n;
}

absl::StatusOr<std::size_t> file::read_at(bytes buffer, off_t offset) {
  // For preadv2, -1 would mean the file's position.
  if (offset < 0) return status_from_errno(EINVAL, what("read"));
  const auto n = read_from(buffer, offset);
  if (!n) return n.status(what("read"));
  return *n;
}

absl::StatusOr<std::size_t> file::write(const_bytes data) {
  const std::size_t all = data.size();
  do {
    const sys::result<std::size_t> n = sys::write(fd_, data);
    if (!n) return n.status(what("write"));
    if (*n == 0 && !data.empty()) return status_from_errno(EIO, what("write"));
    data = data.drop(*n);
  } while (!data.empty());
  return all;
}

absl::StatusOr<std::size_t> file::write_at(const_bytes data, off_t offset) {
  const std::size_t all = data.size();
  do {
    const sys::result<std::size_t> n = sys::pwrite(fd_, data, offset);
    if (!n) return n.status(what("write"));
    if (*n == 0 && !data.empty()) return status_from_errno(EIO, what("write"));
    data = data.drop(*n);
    offset += static_cast<off_t>(*n);
  } while (!data.empty());
  return all;
}

absl::Status file::sync() { return sys::fsync(fd_).status(what("sync")); }

absl::StatusOr<struct stat> file::stat() const {
  const auto about = sys::fstat(fd_);
  if (!about) return about.status(what("stat"));
  return *about;
}

absl::Status file::close() {
  const int fd = std::exchange(fd_, -1);
  return sys::close(fd).status(what("close"));
}

absl::StatusOr<std::string> read_file(const std::string& path) try {
  absl::StatusOr<file> f = file::open(path);
  if (!f.ok()) return f.status();
  std::string text(first_size(f->stat()), '\0');
  std::size_t length = 0;
  for (;;) {
    const absl::StatusOr<std::size_t> n = f->read(bytes(text.data() + length, text.size() - length));
    if (!n.ok()) return n.status();
    if (*n == 0) break;
    length += *n;
    if (length == text.size()) text.resize(2 * length);
  }
  text.resize(length);
  if (text.capacity() / 2 > length) text.shrink_to_fit();
  return text;
} catch (const std::bad_alloc&) {
  return status_from_errno(ENOMEM, absl::StrCat("read ", path));
} catch (const std::length_error&) {
  return status_from_errno(ENOMEM, absl::StrCat("read ", path));
}

absl::Status write_file(const std::string& path, std::string_view text, mode_t mode) {
  absl::StatusOr<file> f = file::open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  if (!f.ok()) return f.status();
  if (!text.empty()) {
    if (const auto n = f->write(text); !n.ok()) return n.status();
  }
  return f->close();
}

}  // namespace baton
