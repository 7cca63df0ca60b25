// Reading asks the page cache first: preadv2 with RWF_NOWAIT gives what is in memory, at the price of
// a plain pread and without telling the scheduler, because it cannot block. EAGAIN means that the
// device is needed: then comes the blocking call. File systems that do not know the flag say
// EOPNOTSUPP, once per open file.
#include <baton/runtime/file.h>

#include <baton/sched/park.h>
#include <baton/syscall/files.h>
#include <baton/syscall/raw_syscall.h>
#include <baton/syscall/status.h>

#include <absl/strings/str_cat.h>

#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>

namespace baton {

namespace platform = sched::platform;

namespace {

constexpr off_t at_position = -1;

// A file that says it is larger gets its memory step by step, as its content turns up.
constexpr std::size_t believed_size_max = std::size_t{64} << 20;
constexpr std::size_t first_guess = 4096;  // for files that do not say how large they are

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
  // relaxed: a hint that any call may set and any may miss.
  try_cache_.store(other.try_cache_.load(platform::mo::relaxed), platform::mo::relaxed);
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

// True: `count` is the answer. False: whoever wants to know must wait.
bool file::read_cached(bytes buffer, off_t offset, std::size_t& count) {
  // relaxed: see operator=.
  if (!try_cache_.load(platform::mo::relaxed)) return false;
  const ::iovec one = as_iovec(buffer);
  const sys::result<long> n = sys::raw_syscall(SYS_preadv2, fd_, &one, 1, offset, 0, RWF_NOWAIT);
  if (n) {
    count = static_cast<std::size_t>(*n);
    return true;
  }
  if (n.error() != EAGAIN && n.error() != EINTR) {
    // The kernel or the file system does not know the flag; or it is an error that comes again below.
    if (n.error() == EOPNOTSUPP || n.error() == EINVAL || n.error() == ENOSYS) {
      try_cache_.store(false, platform::mo::relaxed);
    }
  }
  return false;
}

absl::StatusOr<std::size_t> file::read(bytes buffer) {
  std::size_t count = 0;
  if (read_cached(buffer, at_position, count)) {
    sched::yield_if_due();
    return count;
  }
  const sys::result<std::size_t> n = sys::read(fd_, buffer);
  if (!n) return n.status(what("read"));
  return *n;
}

absl::StatusOr<std::size_t> file::read_at(bytes buffer, off_t offset) {
  // For preadv2, -1 would mean the file's position.
  if (offset < 0) return status_from_errno(EINVAL, what("read"));
  std::size_t count = 0;
  if (read_cached(buffer, offset, count)) {
    sched::yield_if_due();
    return count;
  }
  const sys::result<std::size_t> n = sys::pread(fd_, buffer, offset);
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
