// The handle, and the functions for whole files. file_state.cc reads and writes.
#include <baton/runtime/file.h>

#include <baton/runtime/detail/file_open.h>
#include <baton/runtime/detail/file_state.h>
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/status.h>
#include <baton/syscall/storage.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <type_traits>

namespace baton {

using detail::file_origin;
using detail::file_state;

namespace {

// The memory for a file that claims to be larger than this grows step by step, as its content arrives.
constexpr std::size_t believed_size_max = std::size_t{64} << 20;
constexpr std::size_t first_guess = 4096;  // for files that do not say how large they are

std::size_t first_size(const absl::StatusOr<struct stat>& about) {
  if (!about.ok() || !S_ISREG(about->st_mode) || about->st_size <= 0) return first_guess;
  // One more, so that the read that finds the end needs no larger buffer.
  return std::min(static_cast<std::size_t>(about->st_size), believed_size_max) + 1;
}

absl::Status empty(const char* operation) { return status_from_errno(EBADF, std::string(operation) + " no file"); }

}  // namespace

file& file::operator=(file&& other) noexcept {
  if (this != &other) file_state::drop(std::exchange(state_, std::exchange(other.state_, nullptr)));
  return *this;
}

file::~file() { file_state::drop(state_); }

absl::StatusOr<file> file::open(const std::string& path, int flags, mode_t mode) {
  const auto opened = detail::open_file(path, flags | O_CLOEXEC, mode);
  if (!opened) return opened.status("open " + path);
  sys::owned_fd owner(opened->fd);
  const auto state = file_state::make(opened->fd, path, file_origin::opened, opened->kind, flags);
  if (!state) return state.status("open " + path);
  static_cast<void>(owner.release());
  return file(*state);
}

absl::StatusOr<file> file::adopt(int fd, std::string name) {
  const auto state = file_state::make(fd, name, file_origin::adopted);
  if (!state) return state.status("adopt " + name);
  return file(*state);
}

absl::StatusOr<file> file::borrow(int fd, std::string name) {
  const auto state = file_state::make(fd, name, file_origin::borrowed);
  if (!state) return state.status("borrow " + name);
  return file(*state);
}

absl::StatusOr<std::size_t> file::read_from(bytes buffer, off_t offset) {
  if (state_ == nullptr) return empty("read");
  file_state& s = *state_;
  const file_state::hold user(s);
  if (!user) return s.failed(EBADF, "read");
  const auto n = s.read(buffer, offset);
  if (!n) return s.failed(n.error(), "read");
  return *n;
}

absl::StatusOr<std::size_t> file::read(bytes buffer) { return read_from(buffer, file_state::at_position); }

absl::StatusOr<std::size_t> file::read_at(bytes buffer, off_t offset) {
  if (state_ == nullptr) return empty("read");
  // For preadv2, -1 would mean the file's position.
  if (offset < 0) return state_->failed(EINVAL, "read");
  return read_from(buffer, offset);
}

absl::StatusOr<std::size_t> file::write_to(const_bytes data, off_t offset) {
  if (state_ == nullptr) return empty("write");
  file_state& s = *state_;
  const file_state::hold user(s);
  if (!user) return s.failed(EBADF, "write");
  std::size_t written = 0;
  const auto n = s.write(data, offset, written);
  if (!n) return with_written(s.failed(n.error(), "write"), written);
  return *n;
}

absl::StatusOr<std::size_t> file::write(const_bytes data) { return write_to(data, file_state::at_position); }

absl::StatusOr<std::size_t> file::write_at(const_bytes data, off_t offset) {
  if (state_ == nullptr) return empty("write");
  if (offset < 0) return state_->failed(EINVAL, "write");
  return write_to(data, offset);
}

// A call that neither reads nor writes, and that the gate of a device counts.
template <class Call>
auto file::control(const char* operation, Call&& call) const {
  using value = typename decltype(call(0))::value_type;
  using status = std::conditional_t<std::is_void_v<value>, absl::Status, absl::StatusOr<value>>;
  if (state_ == nullptr) return status(empty(operation));
  file_state& s = *state_;
  const file_state::hold user(s);
  if (!user) return status(s.failed(EBADF, operation));
  const auto done = s.behind_gate([&]() noexcept { return call(s.fd()); });
  if (!done) return status(s.failed(done.error(), operation));
  if constexpr (std::is_void_v<value>) {
    return absl::OkStatus();
  } else {
    return status(*done);
  }
}

absl::StatusOr<off_t> file::seek(off_t offset, int whence) {
  return control("seek", [=](int fd) noexcept { return sys::lseek(fd, offset, whence); });
}

absl::Status file::truncate(off_t size) {
  return control("truncate", [=](int fd) noexcept { return sys::ftruncate(fd, size); });
}

absl::Status file::allocate(off_t offset, off_t length, int mode) {
  return control("allocate", [=](int fd) noexcept { return sys::fallocate(fd, mode, offset, length); });
}

absl::Status file::sync() {
  return control("sync", [](int fd) noexcept { return sys::fsync(fd); });
}

absl::Status file::sync_data() {
  return control("sync data", [](int fd) noexcept { return sys::fdatasync(fd); });
}

absl::StatusOr<struct stat> file::stat() const {
  return control("stat", [](int fd) noexcept { return sys::fstat(fd); });
}

absl::Status file::set_deadline_ns(bool reads, bool writes, std::int64_t deadline_ns) {
  if (state_ == nullptr) return empty("set deadline");
  file_state& s = *state_;
  const file_state::hold user(s);
  const int error = user ? s.set_deadline(reads, writes, deadline_ns) : EBADF;
  return error == 0 ? absl::OkStatus() : s.failed(error, "set deadline");
}

absl::Status file::set_cancellation(const std::shared_ptr<net::cancellation>& c) {
  if (state_ == nullptr) return empty("set context");
  file_state& s = *state_;
  const file_state::hold user(s);
  const int error = user ? s.set_cancellation(c) : EBADF;
  return error == 0 ? absl::OkStatus() : s.failed(error, "set context");
}

absl::Status file::close() {
  if (state_ == nullptr) return empty("close");
  const auto done = state_->close();
  return done ? absl::OkStatus() : state_->failed(done.error(), "close");
}

int file::release() { return state_ == nullptr ? -1 : state_->release().value_or(-1); }

int file::native_handle() const noexcept { return state_ == nullptr ? -1 : state_->number(); }

const std::string& file::path() const noexcept {
  static const std::string& none = *new std::string;  // also for destructors at exit
  return state_ == nullptr ? none : state_->path();
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
  return status_from_errno(ENOMEM, "read " + path);
} catch (const std::length_error&) {
  return status_from_errno(ENOMEM, "read " + path);
}

absl::Status write_file(const std::string& path, std::string_view text, mode_t mode) {
  absl::StatusOr<file> f = file::open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  if (!f.ok()) return f.status();
  if (!text.empty()) {
    if (const auto n = f->write(text); !n.ok()) return n.status();
  }
  return with_written(f->close(), text.size());
}

}  // namespace baton
