// Files: reading and writing without keeping a processor from other fibers.
//
//   auto f = baton::file::open("/var/log/syslog");
//   if (!f.ok()) return f.status();
//   auto n = f->read_at(buffer, 4096);
//
// What the page cache has is read at once, on the caller's thread, as by pread(); only what would
// wait for a device gives up the processor meanwhile. (A file of which thousands of reads in a row were in the page
// cache is no longer asked: the first that waits keeps its processor until it is taken, half a millisecond or so.)
// Of the calls that wait for regular files at most 64 for each device keep a thread, and no more than a quarter of
// max_threads; the others are parked until it is their turn. So it is with opening files. What somebody has made
// non-blocking (a pipe, a terminal, our standard input) parks the fiber until it is ready. All calls are marked (S):
// they may switch. From a plain thread they simply block it.
//
// Errors are absl::Status with the operation, the path and the errno's text in the message, and the
// errno itself for errno_of(status). A path with a NUL inside is EINVAL.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/result.h>
#include <baton/syscall/status.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace baton {

namespace detail {
class file_state;
}

// An open file, closed on destruction. Move-only. Its calls may be made by several agents at once; read() and
// write() share the file's position. close() may come from anywhere: it ends the calls that are parked (CANCELLED)
// and waits for all that are under way, also for one that waits in the kernel, for as long as that lasts; calls
// that come after give EBADF. Moving from or destroying a file while a call is made is misuse; destroying one in
// which a call is still under way waits for that. An empty one gives EBADF.
class file {
 public:
  file() noexcept = default;
  file(file&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  file& operator=(file&& other) noexcept;  // (S) closes what was there
  ~file();                                 // (S) as close()

  // (S) As open(2); O_CLOEXEC is added. `mode` is for O_CREAT.
  [[nodiscard]] static absl::StatusOr<file> open(const std::string& path, int flags = O_RDONLY, mode_t mode = 0644);
  // Takes over an open descriptor; `name` stands for the path in messages. May throw std::bad_alloc; the
  // descriptor is the caller's then.
  [[nodiscard]] static file adopt(int fd, std::string name);

  // (S) Up to the buffer's size, at the file's position; 0: the end.
  [[nodiscard]] absl::StatusOr<std::size_t> read(bytes buffer);
  // (S) As read(), but at that offset; the position does not change.
  [[nodiscard]] absl::StatusOr<std::size_t> read_at(bytes buffer, off_t offset);

  // (S) All of it, or an error; then written_of(status) bytes were written before. Returns data.size().
  absl::StatusOr<std::size_t> write(const_bytes data);
  // (S) The same at that offset; the position does not change. EINVAL if the file is open with O_APPEND: the
  // kernel would write at its end.
  absl::StatusOr<std::size_t> write_at(const_bytes data, off_t offset);

  // (S) fsync: returns when the device has it.
  absl::Status sync();
  // (S)
  [[nodiscard]] absl::StatusOr<struct stat> stat() const;
  // (S) Reports what the destructor would swallow. The file is closed afterwards, in any case. A second close()
  // waits for the first, and gives EBADF. On the thread that exits it waits for nobody: EBUSY when calls are under
  // way, which the fibers in them do not end any more.
  absl::Status close();

  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }
  [[nodiscard]] int native_handle() const noexcept;  // -1: empty, or closed
  [[nodiscard]] const std::string& path() const noexcept;

 private:
  explicit file(detail::file_state* state) noexcept : state_(state) {}
  absl::StatusOr<std::size_t> read_from(bytes buffer, off_t offset);
  absl::StatusOr<std::size_t> write_to(const_bytes data, off_t offset);

  detail::file_state* state_ = nullptr;
};

// (S) The whole content, also of files whose size is not known beforehand (/proc, pipes). A directory
// gives EISDIR; what does not fit in memory ENOMEM.
[[nodiscard]] absl::StatusOr<std::string> read_file(const std::string& path);

// (S) Creates the file, or cuts it to nothing, and writes the text. Not atomic: others may see a part, and an
// error may leave one (written_of(status) bytes of it).
absl::Status write_file(const std::string& path, std::string_view text, mode_t mode = 0644);

}  // namespace baton
