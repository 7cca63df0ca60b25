// Files: reading and writing without keeping a processor from other fibers.
//
//   auto f = baton::file::open("/var/log/syslog");
//   if (!f.ok()) return f.status();
//   auto n = f->read_at(buffer, 4096);
//
// What the page cache has is read at once, on the caller's thread, as by pread(); only what would
// wait for a device gives up the processor meanwhile. (A file of which thousands of reads in a row were in the page
// cache is no longer asked: the first that waits keeps its processor until it is taken, half a millisecond or so.) All
// calls are marked (S): they may switch. From a plain thread they simply block it.
//
// Errors are absl::Status with the operation, the path and the errno's text in the message, and the
// errno itself for errno_of(status).
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/syscall/bytes.h>
#include <baton/syscall/result.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace baton {

// An open file, closed on destruction. Move-only. read_at, write_at, sync and stat may be called by
// several strands at once; read() and write() also, but they share the file's position. Closing,
// moving from or destroying it while a call is under way is misuse, as is using an empty one (that
// gives EBADF).
class file {
 public:
  file() noexcept = default;
  file(file&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        path_(std::move(other.path_)),
        cached_in_a_row_(other.cached_in_a_row_.load(sched::platform::mo::relaxed)) {}
  file& operator=(file&& other) noexcept;
  ~file();

  // (S) As open(2); O_CLOEXEC is added. `mode` is for O_CREAT.
  [[nodiscard]] static absl::StatusOr<file> open(const std::string& path, int flags = O_RDONLY, mode_t mode = 0644);
  // Takes over an open descriptor; `name` stands for the path in messages.
  [[nodiscard]] static file adopt(int fd, std::string name);

  // (S) Up to the buffer's size, at the file's position; 0: the end.
  [[nodiscard]] absl::StatusOr<std::size_t> read(bytes buffer);
  // (S) As read(), but at that offset; the position does not change.
  [[nodiscard]] absl::StatusOr<std::size_t> read_at(bytes buffer, off_t offset);

  // (S) All of it, or an error. Returns data.size().
  absl::StatusOr<std::size_t> write(const_bytes data);
  absl::StatusOr<std::size_t> write_at(const_bytes data, off_t offset);

  // (S) fsync: returns when the device has it.
  absl::Status sync();
  // (S)
  [[nodiscard]] absl::StatusOr<struct stat> stat() const;
  // (S) Reports what the destructor would swallow. The file is empty afterwards, in any case.
  absl::Status close();

  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int native_handle() const noexcept { return fd_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  file(int fd, std::string path) noexcept : fd_(fd), path_(std::move(path)) {}
  sys::result<std::size_t> read_from(bytes buffer, off_t offset);
  sys::result<std::size_t> ask(bytes buffer, off_t offset);
  sys::result<std::size_t> trust(bytes buffer, off_t offset);
  [[nodiscard]] std::string what(const char* operation) const;

  int fd_ = -1;
  std::string path_;
  // Reads that found what they wanted in memory since one did not; about. Or that the file system cannot say.
  sched::platform::atomic<std::uint32_t> cached_in_a_row_{0};
};

// (S) The whole content, also of files whose size is not known beforehand (/proc, pipes). A directory
// gives EISDIR; what does not fit in memory ENOMEM.
[[nodiscard]] absl::StatusOr<std::string> read_file(const std::string& path);

// (S) Creates the file, or cuts it to nothing, and writes the text. Not atomic: others may see a part.
absl::Status write_file(const std::string& path, std::string_view text, mode_t mode = 0644);

}  // namespace baton
