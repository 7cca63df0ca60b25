// Public API: a TCP connection.
//
// Thread-safe: any number of fibers and plain threads may use one stream at once. Reads queue behind reads, writes
// behind writes; a read and a write run at the same time. Each call, also read_full() and write_v(), is one unit: no
// bytes of other calls come in between. close() may be called from anywhere, also several times at once. Destroying a
// stream ends the calls that are under way, as close() does. Only the owner may move it, when no calls are under way.
//
// Errors: DEADLINE_EXCEEDED after a deadline, the context's code after cancellation, CANCELLED after close(),
// FAILED_PRECONDITION for a stream that was moved from or default-constructed; else the kernel's error
// (errno_of(status)). Messages: "read 10.0.0.1:80->10.0.0.2:4711: Connection reset by peer". All calls marked
// "Switches." may switch, and yield once a time slice if they never have to wait.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/options.h>
#include <baton/netpoll/poll_descriptor.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <sys/types.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace baton::net {

struct tcp_state;
struct tls_state;

class tcp_stream {
 public:
  tcp_stream() noexcept;  // not open
  tcp_stream(tcp_stream&&) noexcept;
  tcp_stream& operator=(tcp_stream&&) noexcept;  // Switches. Closes what was there
  // Switches. As close(). If this thread called exit(), it does not wait for calls that are under way, because the
  // fibers among them never return. It then leaves them what they use, including the descriptor.
  ~tcp_stream();

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

  // These never switch. From that point in time on reads (writes, both) fail, also if they would not have to wait;
  // calls that already wait are ended. A deadline in the past acts at once; time_point::max() removes the deadline. Any
  // clock; rounded up, saturating. A time of a clock other than steady_clock is converted here, once. May throw
  // std::bad_alloc; the former deadlines are in force then.
  template <class Clock, class Duration>
  void set_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadlines_ns(detail::deadline_at(when));
  }
  template <class Clock, class Duration>
  void set_read_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(poll_side::read, detail::deadline_at(when));
  }
  template <class Clock, class Duration>
  void set_write_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(poll_side::write, detail::deadline_at(when));
  }

  // These never switch. Once the context is done, blocked and later reads (writes, both) fail with its error, until
  // another context replaces it. set_context() replaces the contexts of both sides. Costs nothing per call.
  template <cancellation_source Context>
  void set_context(const Context& c) {
    set_cancellation(c.as_cancellation());
  }
  template <cancellation_source Context>
  void set_read_context(const Context& c) {
    set_cancellation(poll_side::read, c.as_cancellation());
  }
  template <cancellation_source Context>
  void set_write_context(const Context& c) {
    set_cancellation(poll_side::write, c.as_cancellation());
  }
  void set_cancellation(const std::shared_ptr<cancellation>& c);
  void set_cancellation(poll_side side, const std::shared_ptr<cancellation>& c);

  // Sends what has been written, then the end of the stream. Reading goes on. Does not wait.
  absl::Status close_write();
  // Switches. Ends the calls that are under way on the stream, waits until they have left, and closes it. Every close()
  // returns only after that, also a second one: then no call uses the stream any more. With SO_LINGER it takes as long
  // as the kernel lingers, in a declared call.
  void close();

  // Nagle's algorithm. Streams begin with no_delay set.
  absl::Status set_no_delay(bool on);
  // Probes an idle connection this often (whole seconds, rounded up); zero or less: never.
  template <class Rep, class Period>
  absl::Status set_keep_alive(std::chrono::duration<Rep, Period> every) {
    return set_keep_alive_ns(detail::saturated_ns(every));
  }

  // The addresses when the connection was made; also after close(). They name nothing if the stream is not open.
  [[nodiscard]] address local_address() const;
  [[nodiscard]] address remote_address() const;

  // The descriptor's number, which the stream keeps owning; -1 if not open or closed.
  [[nodiscard]] int native_handle() const noexcept;
  // Returns true if the stream is neither moved from nor closed.
  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }

  // For the makers of streams (tcp_listener, dial).
  explicit tcp_stream(std::unique_ptr<tcp_state> state) noexcept;

 private:
  friend struct test_access;
  friend struct tls_state;  // uses the descriptor
  void set_deadline_ns(poll_side side, std::int64_t deadline_ns);
  void set_deadlines_ns(std::int64_t deadline_ns);
  absl::Status set_keep_alive_ns(std::int64_t every_ns);

  struct closer {
    void operator()(tcp_state* s) const noexcept;
  };
  std::unique_ptr<tcp_state, closer> state_;
};

}  // namespace baton::net
