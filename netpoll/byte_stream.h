// Public API: a connection that carries bytes in both directions: what tcp_stream and unix_stream have in common.
//
// Thread-safe: any number of fibers and plain threads may use one stream at once. Reads queue behind reads, writes
// behind writes; a read and a write run at the same time. Each call, also read_full() and write_v(), is one unit: no
// bytes of other calls come in between. close() may be called from anywhere, also several times at once. Deadlines,
// contexts, close() and release() are those of descriptor_owner.h.
//
// Errors: DEADLINE_EXCEEDED after a deadline, the context's code after cancellation, CANCELLED after close(),
// FAILED_PRECONDITION for a stream that was moved from or default-constructed; else the kernel's error
// (errno_of(status)). Messages: "read 10.0.0.1:80->10.0.0.2:4711: Connection reset by peer". All calls marked
// "Switches." may switch, and yield once a time slice if they never have to wait.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/error_text.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <sys/types.h>
#include <concepts>
#include <cstddef>
#include <span>

namespace baton::net {

template <class State>
class byte_stream : public two_sided_owner<State> {
 public:
  // Switches. Returns at least one byte, or 0 at the end of the stream; 0 at once for an empty buffer.
  absl::StatusOr<std::size_t> read(bytes buffer);
  // Switches. Reads until the buffer is full or the stream ends: fewer bytes than asked for mean the end. Other readers
  // wait until it returns, and close() ends it as one call. The bytes that were read before an error are in the buffer;
  // the error does not say how many.
  absl::StatusOr<std::size_t> read_full(bytes buffer);

  // Switches. Writes all of it, or fails; then written_of(status) bytes had gone to the kernel before.
  absl::StatusOr<std::size_t> write(const_bytes data);
  // Switches. Writes all pieces, in order, as one write.
  absl::Status write_v(std::span<const const_bytes> pieces);
  // Switches. Sends `size` bytes of an open file from `offset` on, without copying them through the process. Sends
  // fewer if the file ends before. The file may have to be fetched from disk, so the call is declared to the scheduler.
  // The kernel has no MSG_NOSIGNAL for this call; it relies on options::ignore_sigpipe.
  absl::StatusOr<std::size_t> send_file(int file, off_t offset, std::size_t size);
  template <class File>
  requires requires(const File& f) {
    { f.native_handle() } -> std::convertible_to<int>;
  }
  absl::StatusOr<std::size_t> send_file(const File& file, off_t offset, std::size_t size) {
    return send_file(static_cast<int>(file.native_handle()), offset, size);
  }

  // Sends what has been written, then the end of the stream. Reading goes on. Does not wait.
  absl::Status close_write();

  // Return the addresses as they were when the connection was made, also after close(). They name nothing if the stream
  // is not open.
  [[nodiscard]] address local_address() const;
  [[nodiscard]] address remote_address() const;

 protected:
  using two_sided_owner<State>::two_sided_owner;
  byte_stream() noexcept = default;
  byte_stream(byte_stream&&) noexcept = default;
  byte_stream& operator=(byte_stream&&) noexcept = default;
  ~byte_stream() = default;
};

}  // namespace baton::net
