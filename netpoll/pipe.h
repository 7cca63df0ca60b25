// Public API: pipes whose readers and writers park.
//
//   auto ends = baton::make_pipe();
//   if (!ends.ok()) return ends.status();
//   baton::go([w = std::move(ends->writer)]() mutable { (void)w.write("hello"); });
//   auto n = ends->reader.read(buffer);
//
// Thread-safe: any number of fibers and plain threads may use one end at once. Reads queue behind reads, writes behind
// writes. The bytes of one call are not mixed with those of other calls on the same object. close() may be called from
// anywhere. Deadlines, contexts, close() and release() are those of netpoll/descriptor_owner.h. Once no process has one
// end open any more, calls at the other end notice: a read returns 0 when the pipe is empty, and a write fails with
// EPIPE.
//
// Errors: DEADLINE_EXCEEDED after a deadline, the context's code after cancellation, CANCELLED after close(),
// FAILED_PRECONDITION for an end that was moved from or default-constructed; else the kernel's error
// (errno_of(status)). EPIPE: no process has the reading end open any more. It comes with SIGPIPE, which does nothing
// unless options::ignore_sigpipe is false.
#pragma once

#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/error_text.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstddef>
#include <string>

namespace baton {

namespace detail {

struct pipe_state;

}  // namespace detail

// The end that is read from.
class pipe_reader : public net::descriptor_owner<detail::pipe_state> {
 public:
  pipe_reader() noexcept = default;  // not open
  // Takes over the reading end of a pipe or a FIFO, or whatever else can be read and polled; `name` stands for it in
  // messages. Sets O_NONBLOCK, which other descriptors of the same open file see, too. After an error (EBADF; EPERM: it
  // cannot be polled; ENOMEM …) the number still belongs to the caller. Never switches.
  [[nodiscard]] static absl::StatusOr<pipe_reader> adopt(int fd, std::string name = "pipe");

  // Switches. Returns at least one byte. Returns 0 when the pipe is empty and no process has its writing end open any
  // more, and at once for an empty buffer.
  absl::StatusOr<std::size_t> read(bytes buffer);

 private:
  using descriptor_owner::descriptor_owner;
};

// The end that is written to.
class pipe_writer : public net::descriptor_owner<detail::pipe_state> {
 public:
  pipe_writer() noexcept = default;  // not open
  // As pipe_reader::adopt().
  [[nodiscard]] static absl::StatusOr<pipe_writer> adopt(int fd, std::string name = "pipe");

  // Switches. Writes all of it and returns data.size(), or fails; then written_of(status) bytes had gone into the pipe
  // before.
  absl::StatusOr<std::size_t> write(const_bytes data);

 private:
  using descriptor_owner::descriptor_owner;
};

struct pipe_ends {
  pipe_reader reader;
  pipe_writer writer;
};

// Makes a pipe. Children do not inherit it. Fails with EMFILE, ENFILE, ENOMEM or ENOSPC. Never switches.
[[nodiscard]] absl::StatusOr<pipe_ends> make_pipe();

}  // namespace baton
