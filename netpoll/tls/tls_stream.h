// Public API: a TLS connection over a TCP stream.
//
//   auto tcp = listener.accept();                                      // in the fiber of the listener
//   auto peer = baton::net::tls_stream::accept(std::move(*tcp), ctx);  // in the fiber of the connection
//
// Thread-safe as tcp_stream: reads queue behind reads, writes behind writes; a read and a write run at the same time;
// close() may be called from anywhere. Only the owner may move it, when no calls are under way.
//
// Errors: those of tcp_stream, and
//   UNAUTHENTICATED    the handshake: the peer's certificate is not accepted, or it has shown none
//   PERMISSION_DENIED  the peer does not accept this side's certificate, or the lack of one. In TLS 1.3 a client's
//                      connect() succeeds before the server has looked at the client's certificate: the first read
//                      fails
//   ABORTED            the peers have no version, cipher or protocol in common; the other side does not speak TLS; it
//                      asks for renegotiation; it has sent another alert
//   UNAVAILABLE        the peer has closed the connection in the handshake
//   DATA_LOSS          the connection has ended without close_notify, so the end of the data may be missing; or a
//                      record is damaged
// After ABORTED, PERMISSION_DENIED or DATA_LOSS all later calls fail with the same error. Calls marked "Switches." may
// switch, and yield once a time slice if they never have to wait.
//
// A handshake uses more of the fiber's stack than most code. The tests run it with the default size.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/options.h>
#include <baton/netpoll/poll_descriptor.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/netpoll/tls/tls_certificate.h>
#include <baton/netpoll/tls/tls_context.h>
#include <baton/sched/durations.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <sys/types.h>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace baton::net {

class tls_output;
struct tls_state;

struct tls_handshake_options {
  // The limit of the whole handshake. It replaces the stream's deadlines, and is removed at the end of the handshake.
  // hours::max(): no limit, and the stream keeps its deadlines.
  time_limit timeout = std::chrono::seconds(10);
  // A baton::context. It replaces the stream's contexts, and is removed at the end of the handshake. None: the stream
  // keeps its contexts.
  context_option ctx = {};
};

class tls_stream {
 public:
  tls_stream() noexcept;  // not open
  tls_stream(tls_stream&&) noexcept;
  tls_stream& operator=(tls_stream&&) noexcept;  // Switches. Closes what was there
  ~tls_stream();                                 // Switches. As close(); at exit: as ~tcp_stream()

  // Switch. Take over the TCP stream and do the handshake, as the server or as the client. After an error the
  // connection is closed. A peer that speaks TLS has got an alert that says why. accept() waits for the client: call it
  // in the fiber of the connection, not in the loop that accepts.
  //
  // server_name is the host that the client connects to. The server chooses its certificate by it (SNI), and the
  // certificate must be valid for it. An IP address is not sent, but the certificate must be valid for that address. It
  // may be empty if the context does not verify. INVALID_ARGUMENT for a text that is neither.
  static absl::StatusOr<tls_stream> accept(tcp_stream tcp, const tls_context& context,
                                           const tls_handshake_options& options = {});
  static absl::StatusOr<tls_stream> connect(tcp_stream tcp, const tls_context& context, std::string server_name,
                                            const tls_handshake_options& options = {});

  // Switches. Returns at least one byte, or 0 at the end: the peer has sent close_notify. 0 at once for an empty
  // buffer.
  absl::StatusOr<std::size_t> read(bytes buffer);
  // Switches. As tcp_stream::read_full().
  absl::StatusOr<std::size_t> read_full(bytes buffer);

  // Switches. Writes all of it, or fails. After a failure, written_of(status) bytes have been encrypted, and some of
  // them may not have been sent. The next call that sends sends them first, and close() sends what the kernel takes at
  // once. So after a deadline a program can continue after those bytes.
  absl::StatusOr<std::size_t> write(const_bytes data);
  // Switches. Writes all pieces, in order, as one write. Small pieces share a record.
  absl::Status write_v(std::span<const const_bytes> pieces);
  // Switches. Sends `size` bytes of an open file from `offset` on; fewer if the file ends before. The reads are
  // declared calls.
  absl::StatusOr<std::size_t> send_file(int file, off_t offset, std::size_t size);
  template <class File>
  requires requires(const File& f) {
    { f.native_handle() } -> std::convertible_to<int>;
  }
  absl::StatusOr<std::size_t> send_file(const File& file, off_t offset, std::size_t size) {
    return send_file(static_cast<int>(file.native_handle()), offset, size);
  }

  // The same as those of tcp_stream. They never switch. The forms with a time-out count from now.
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
  template <class Rep, class Period>
  void set_timeout(const std::chrono::duration<Rep, Period>& timeout) {
    set_deadlines_ns(detail::deadline_after(timeout));
  }
  template <class Rep, class Period>
  void set_read_timeout(const std::chrono::duration<Rep, Period>& timeout) {
    set_deadline_ns(poll_side::read, detail::deadline_after(timeout));
  }
  template <class Rep, class Period>
  void set_write_timeout(const std::chrono::duration<Rep, Period>& timeout) {
    set_deadline_ns(poll_side::write, detail::deadline_after(timeout));
  }

  // These never switch. As tcp_stream's.
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

  // Switches. Sends what has been written, then close_notify: the peer knows that it has everything. Reading goes on;
  // writes fail with EPIPE. Some peers that speak TLS 1.2 close the connection then.
  absl::Status close_write();
  // Switches. Ends the calls that are under way, and waits until they have left. Sends close_notify, as far as the
  // kernel takes it at once. If the last write was ended halfway, does not send it, so that the peer finds the data cut
  // off. Then closes the connection. Every close() returns only after that.
  void close();

  // Switches. Writes with a new key from now on, and asks the peer to do the same. Use it for connections that carry
  // very much data. A peer that asks for it is always answered. FAILED_PRECONDITION in TLS 1.2, which has none.
  absl::Status update_keys();

  absl::Status set_no_delay(bool on);
  template <class Rep, class Period>
  absl::Status set_keep_alive(std::chrono::duration<Rep, Period> every) {
    return set_keep_alive_ns(detail::saturated_ns(every));
  }

  // The results of the handshake, also after close(). Empty if the stream is not open.
  [[nodiscard]] std::string negotiated_protocol() const;  // of ALPN; empty: none
  [[nodiscard]] std::string server_name() const;          // that the client asked for; empty: none
  [[nodiscard]] std::string cipher() const;               // OpenSSL's name: "TLS_AES_256_GCM_SHA384"
  [[nodiscard]] tls_version version() const noexcept;
  [[nodiscard]] bool is_resumed() const noexcept;  // an earlier session was resumed, without certificates
  // The peer's certificate, if it has shown one. It was verified if the context verifies. A resumed session has the
  // certificate of its first handshake.
  [[nodiscard]] std::optional<tls_certificate> peer_certificate() const;

  [[nodiscard]] address local_address() const;
  [[nodiscard]] address remote_address() const;

  // The descriptor's number, which the stream keeps owning; -1 if not open or closed. The bytes that go through it are
  // encrypted.
  [[nodiscard]] int native_handle() const noexcept;
  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }

 private:
  friend struct test_access;
  static absl::StatusOr<tls_stream> begin(tcp_stream tcp, const tls_context& context, bool as_server,
                                          std::string server_name, const tls_handshake_options& options);
  absl::Status send(tls_output& output, const char* operation);
  void set_deadline_ns(poll_side side, std::int64_t deadline_ns);
  void set_deadlines_ns(std::int64_t deadline_ns);
  absl::Status set_keep_alive_ns(std::int64_t every_ns);

  struct closer {
    void operator()(tls_state* s) const noexcept;
  };
  std::unique_ptr<tls_state, closer> state_;
};

}  // namespace baton::net
