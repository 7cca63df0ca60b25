// Public API: baton::file, reading and writing files without keeping a processor from other fibers.
//
//   auto f = baton::file::open("/var/log/syslog");
//   if (!f.ok()) return f.status();
//   auto n = f->read_at(buffer, 4096);
//
// What the page cache has is read at once, on the caller's thread, as by pread(). Only a call that would wait for a
// device gives up the processor meanwhile. (After thousands of reads in a row that the page cache has served, the page
// cache of that file is no longer asked. The first read that waits then keeps its processor until it is taken, half a
// millisecond or so.) Of the calls that wait for regular files at most 64 for each device keep a thread, and no more
// than a quarter of max_threads; the others are parked until it is their turn. The same holds for opening files. A
// descriptor that is non-blocking (a pipe, a terminal, the process's standard input) parks the fiber until it is ready.
// The calls that may switch are marked "Switches."; a plain thread that makes one simply blocks.
//
// Errors are absl::Status. The message has the operation, the path and the errno's text; errno_of(status) returns the
// errno. A path that contains a NUL gives EINVAL.
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

// An open file, which the destructor closes. Move-only. Several agents may use it at once; read() and write() share the
// file's position. close() may be called from anywhere. It ends the calls that are parked (CANCELLED) and waits for all
// calls that are under way, also for one that waits in the kernel, however long that lasts. Later calls give EBADF.
// Moving from or destroying a file while a call begins is misuse. The destructor waits for a call that is still under
// way. An empty file gives EBADF.
class file {
 public:
  file() noexcept = default;
  file(file&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  file& operator=(file&& other) noexcept;  // closes the former file; switches
  ~file();                                 // as close(); switches

  // Opens the file as open(2) does, with O_CLOEXEC added. `mode` is for O_CREAT. Switches.
  [[nodiscard]] static absl::StatusOr<file> open(const std::string& path, int flags = O_RDONLY, mode_t mode = 0644);
  // Takes over an open descriptor; `name` stands for the path in messages. May throw std::bad_alloc; the descriptor
  // then still belongs to the caller.
  [[nodiscard]] static file adopt(int fd, std::string name);

  // Reads up to the buffer's size at the file's position. Returns 0 at the end of the file. Switches.
  [[nodiscard]] absl::StatusOr<std::size_t> read(bytes buffer);
  // As read(), but reads at that offset; the position does not change. Switches.
  [[nodiscard]] absl::StatusOr<std::size_t> read_at(bytes buffer, off_t offset);

  // Writes all of the data and returns data.size(). After an error, written_of(status) bytes were written before it.
  // Switches.
  absl::StatusOr<std::size_t> write(const_bytes data);
  // As write(), but writes at that offset; the position does not change. Gives EINVAL if the file is open with
  // O_APPEND, because the kernel would write at the file's end. Switches.
  absl::StatusOr<std::size_t> write_at(const_bytes data, off_t offset);

  // Calls fsync: returns when the device has the data. Switches.
  absl::Status sync();
  // Switches.
  [[nodiscard]] absl::StatusOr<struct stat> stat() const;
  // Closes the file in any case, and reports the error that the destructor would swallow. A second close() waits for
  // the first, and gives EBADF. On the thread that called exit() it does not wait: it gives EBUSY if calls are under
  // way, because the fibers in these calls no longer finish them. Switches.
  absl::Status close();

  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }
  [[nodiscard]] int native_handle() const noexcept;  // -1 if the file is empty or closed
  [[nodiscard]] const std::string& path() const noexcept;

 private:
  explicit file(detail::file_state* state) noexcept : state_(state) {}
  absl::StatusOr<std::size_t> read_from(bytes buffer, off_t offset);
  absl::StatusOr<std::size_t> write_to(const_bytes data, off_t offset);

  detail::file_state* state_ = nullptr;
};

// Reads the whole content, also of a file whose size is not known beforehand (/proc, pipes). A directory gives EISDIR;
// content that does not fit in memory gives ENOMEM. Switches.
[[nodiscard]] absl::StatusOr<std::string> read_file(const std::string& path);

// Creates the file, or truncates it, and writes the text. The write is not atomic: others may see a part of it, and an
// error may leave a part (written_of(status) bytes). Switches.
absl::Status write_file(const std::string& path, std::string_view text, mode_t mode = 0644);

}  // namespace baton
