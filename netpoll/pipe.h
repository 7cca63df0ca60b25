// Public API: pipes whose readers and writers park.
//
//   auto ends = baton::make_pipe();
//   if (!ends.ok()) return ends.status();
//   baton::go([w = std::move(ends->writer)]() mutable { (void)w.write("hello"); });
//   auto n = ends->reader.read(buffer);
//
// Thread-safe: any number of fibers and plain threads may use one end at once. Reads queue behind reads, writes behind
// writes. Each call is one unit among the calls on the same object: no bytes of other calls come in between. close()
// may be called from anywhere. Only the owner may move an end, when no calls are under way.
//
// Errors: DEADLINE_EXCEEDED after a deadline, the context's code after cancellation, CANCELLED after close(),
// FAILED_PRECONDITION for an end that was moved from or default-constructed; else the kernel's error
// (errno_of(status)). EPIPE: nobody can read any more. It comes with SIGPIPE, which does nothing unless
// options::ignore_sigpipe is false.
#pragma once

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/options.h>
#include <baton/sched/durations.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace baton {

namespace net {
struct stream_access;
}

namespace detail {

struct pipe_state;

// What both ends have. Move-only. The destructor closes.
class pipe_end {
 public:
  // Never switches. From that point in time on calls fail, also if they would not have to wait; calls that already wait
  // are ended. time_point::max() removes the deadline. Any clock; rounded up, saturating. A time of a clock other than
  // steady_clock is converted here, once. May throw std::bad_alloc; the former deadline is in force then.
  template <class Clock, class Duration>
  void set_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(detail::deadline_at(when));
  }
  // Never switches. Once the context is done, blocked and later calls fail with its error, until another context
  // replaces it. Costs nothing per call.
  template <net::cancellation_source Context>
  void set_context(const Context& c) {
    set_cancellation(c.as_cancellation());
  }
  void set_cancellation(const std::shared_ptr<net::cancellation>& c);

  // Switches. Ends the calls that are under way, waits until they have left, and closes the end. Every close() returns
  // only after that, also a second one. The kernel tells the other side: a reader finds the end of the stream, a writer
  // EPIPE, once no process has this end open.
  void close();
  // Switches. As close(), but gives the number back, which then belongs to the caller and is non-blocking. Returns -1
  // if the end is not open, or if the thread has called exit() and calls are under way.
  int release();

  // The descriptor's number, which this object keeps owning; -1 if not open or closed.
  [[nodiscard]] int native_handle() const noexcept;
  // Returns true if the end is neither moved from nor closed.
  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }

 protected:
  pipe_end() noexcept = default;
  explicit pipe_end(pipe_state* state) noexcept : state_(state) {}
  struct closer {
    void operator()(pipe_state* s) const noexcept;
  };
  std::unique_ptr<pipe_state, closer> state_;

 private:
  friend struct net::stream_access;
  void set_deadline_ns(std::int64_t deadline_ns);
};

}  // namespace detail

// The end that is read from.
class pipe_reader : public detail::pipe_end {
 public:
  pipe_reader() noexcept = default;  // not open
  // Takes over the reading end of a pipe or a FIFO, or whatever else can be read and polled; `name` stands for it in
  // messages. Sets O_NONBLOCK, which other descriptors of the same open file see, too. After an error (EBADF; EPERM: it
  // cannot be polled; ENOMEM …) the number still belongs to the caller. Never switches.
  [[nodiscard]] static absl::StatusOr<pipe_reader> adopt(int fd, std::string name = "pipe");

  // Switches. Returns at least one byte, or 0 at the end: all writers are gone. Returns 0 at once for an empty buffer.
  absl::StatusOr<std::size_t> read(bytes buffer);

 private:
  using pipe_end::pipe_end;
};

// The end that is written to.
class pipe_writer : public detail::pipe_end {
 public:
  pipe_writer() noexcept = default;  // not open
  // As pipe_reader::adopt().
  [[nodiscard]] static absl::StatusOr<pipe_writer> adopt(int fd, std::string name = "pipe");

  // Switches. Writes all of it and returns data.size(), or fails; then written_of(status) bytes had gone into the pipe
  // before.
  absl::StatusOr<std::size_t> write(const_bytes data);

 private:
  using pipe_end::pipe_end;
};

struct pipe_ends {
  pipe_reader reader;
  pipe_writer writer;
};

// Makes a pipe. Children do not inherit it. Fails with EMFILE, ENFILE, ENOMEM or ENOSPC. Never switches.
[[nodiscard]] absl::StatusOr<pipe_ends> make_pipe();

}  // namespace baton
