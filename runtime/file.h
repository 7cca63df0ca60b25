// Public API: baton::file, reading and writing files without keeping a processor from other fibers.
//
//   auto f = baton::file::open("/var/log/syslog");
//   if (!f.ok()) return f.status();
//   auto n = f->read_at(buffer, 4096);
//
// Regular files: what the page cache has is read at once, on the caller's thread, as by pread(). Only a call that would
// wait for a device gives up the processor meanwhile. (After thousands of reads in a row that the page cache has
// served, the page cache of that file is no longer asked. The first read that waits then keeps its processor until it
// is taken, half a millisecond or so.) Of the calls that wait (reads, writes, sync, stat, opens that have to fetch the
// path) at most 64 for each device keep a thread, and no more than a quarter of max_threads; the others are parked
// until it is their turn. (Closes are counted apart, 16 for each device; so are 16 opens of all devices together, whose
// path is in memory.) They have no deadlines, because the kernel cannot end them.
//
// Whatever can be polled (a pipe, a FIFO, a terminal, a socket, an eventfd …) parks the fiber until it is ready, and
// takes deadlines and contexts. Such a file is made non-blocking (O_NONBLOCK), unless it is borrowed: other processes
// that have the same open file (an inherited terminal or pipe) would see that.
//
// The calls that may switch are marked "Switches."; a plain thread that makes one simply blocks.
//
// Errors are absl::Status. The message has the operation, the path and the errno's text; errno_of(status) returns the
// errno. A path that contains a NUL gives EINVAL.
#pragma once

#include <baton/netpoll/options.h>
#include <baton/sched/durations.h>
#include <baton/syscall/bytes.h>
#include <baton/syscall/result.h>
#include <baton/syscall/status.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace baton {

namespace detail {
class file_state;
struct file_access;
}  // namespace detail

// An open file, which the destructor closes. Move-only. Several agents may use it at once; read() and write() share the
// file's position. close() may be called from anywhere. It ends the calls that are parked (CANCELLED), also those that
// wait for their turn, and waits for all calls that are under way, also for one that waits in the kernel, however long
// that lasts. Later calls give EBADF.
// Moving from or destroying a file while a call begins is misuse. The destructor waits for a call that is still under
// way. An empty file gives EBADF.
class file {
 public:
  file() noexcept = default;
  file(file&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  file& operator=(file&& other) noexcept;  // closes the former file; switches
  ~file();                                 // as close(); switches

  // Opens the file as open(2) does, with O_CLOEXEC added. `mode` is for O_CREAT. Waits for the other end of a FIFO, and
  // for the holder of a lease, without a thread. A device is opened without waiting for it. Switches.
  [[nodiscard]] static absl::StatusOr<file> open(const std::string& path, int flags = O_RDONLY, mode_t mode = 0644);
  // Takes over an open descriptor of any kind; `name` stands for the path in messages. Sets O_NONBLOCK on what can be
  // polled. After an error (EBADF, ENOMEM) the descriptor still belongs to the caller. Switches.
  [[nodiscard]] static absl::StatusOr<file> adopt(int fd, std::string name);
  // Uses a descriptor that belongs to another owner, such as standard input: changes nothing of it, and never closes
  // it. The owner keeps it open until the file is closed. If it is blocking, each call asks first whether it would
  // wait; a write then goes in pieces of PIPE_BUF (4 KiB). Should another reader come first, a thread waits. Switches.
  [[nodiscard]] static absl::StatusOr<file> borrow(int fd, std::string name);

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

  // From that point in time on reads (writes, both) fail with DEADLINE_EXCEEDED, also if they would not have to wait;
  // calls that already wait are ended. time_point::max(): no deadline. Any clock; rounded up, saturating. A time of a
  // clock other than steady_clock is converted here, once. Fails with EPERM for what cannot be polled (regular files,
  // directories, block devices), and with ENOMEM or EMFILE. Never switches.
  template <class Clock, class Duration>
  absl::Status set_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    return set_deadline_ns(true, true, detail::deadline_at(when));
  }
  template <class Clock, class Duration>
  absl::Status set_read_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    return set_deadline_ns(true, false, detail::deadline_at(when));
  }
  template <class Clock, class Duration>
  absl::Status set_write_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    return set_deadline_ns(false, true, detail::deadline_at(when));
  }
  // Once the context is done, blocked and later calls fail with its error, until another context replaces it. Errors as
  // for the deadlines. Never switches.
  template <net::cancellation_source Context>
  absl::Status set_context(const Context& c) {
    return set_cancellation(c.as_cancellation());
  }
  absl::Status set_cancellation(const std::shared_ptr<net::cancellation>& c);

  // Closes the file in any case, and reports the error that the destructor would swallow. A second close() waits for
  // the first, and gives EBADF. On the thread that called exit() it does not wait: it gives EBUSY if calls are under
  // way, because the fibers in these calls no longer finish them. Switches.
  absl::Status close();
  // As close(), but gives the number back, which then belongs to the caller (or to its owner, if it is borrowed). It is
  // blocking again if it was when it was opened or adopted. Returns -1 if the file is empty or closed, and where
  // close() gives EBUSY. Switches.
  int release();

  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }
  [[nodiscard]] int native_handle() const noexcept;  // -1 if the file is empty or closed
  [[nodiscard]] const std::string& path() const noexcept;

 private:
  friend struct detail::file_access;
  explicit file(detail::file_state* state) noexcept : state_(state) {}
  absl::StatusOr<std::size_t> read_from(bytes buffer, off_t offset);
  absl::StatusOr<std::size_t> write_to(const_bytes data, off_t offset);
  absl::Status set_deadline_ns(bool reads, bool writes, std::int64_t deadline_ns);

  detail::file_state* state_ = nullptr;
};

// Reads the whole content, also of a file whose size is not known beforehand (/proc, pipes). A directory gives EISDIR;
// content that does not fit in memory gives ENOMEM. Switches.
[[nodiscard]] absl::StatusOr<std::string> read_file(const std::string& path);

// Creates the file, or truncates it, and writes the text. The write is not atomic: others may see a part of it, and an
// error may leave a part (written_of(status) bytes). Switches.
absl::Status write_file(const std::string& path, std::string_view text, mode_t mode = 0644);

// The same, but other processes see the former file or the new one, never a part. This also holds after a crash. Writes
// a file beside it (path.XXXXXXXX.tmp; a name too long for that loses its end), fsync, rename, fsync of the directory.
// It needs the right to make files there. It replaces what has that name: the link itself if it is a symbolic link, and
// the owner and mode of a file. After an error the former file is as it was, and the one beside it is removed; an error
// of the last step (the directory's fsync) comes when the new file is in place already. Switches.
absl::Status write_file_atomically(const std::string& path, std::string_view text, mode_t mode = 0644);

}  // namespace baton
