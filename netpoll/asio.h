// Public API: Asio's view of a stream, so that synchronous code over Asio's stream concepts, such as Boost.Beast's HTTP
// and WebSocket, runs in fibers. Needs the headers of Boost.Asio. runtime/baton.h does not include this header.
//
//   baton::net::asio_stream peer(std::move(tcp));        // or a tls_stream: owns it
//   boost::beast::http::read(peer, buffer, request);     // parks the fiber
//
//   baton::net::asio_stream<baton::net::tcp_stream&> view(stream);    // refers to it
//
// An asio_stream is a SyncReadStream and a SyncWriteStream. It is not an asynchronous stream: do not start an
// asynchronous operation on it. get_executor() exists only because Beast asks for it, and no thread runs its handlers.
//
// Waiting, deadlines and contexts are those of the stream, which next_layer() returns. One fiber may read while another
// one writes.
//
// Errors: the end of the stream is boost::asio::error::eof. An errno keeps its value, in Asio's system category. A
// deadline is boost::asio::error::timed_out; a close() and CANCELLED are boost::asio::error::operation_aborted. Every
// other status becomes its code in status_category(); last_read_status() and last_write_status() have the messages.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/status.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace boost::beast {
enum class role_type;  // as Beast declares it: for teardown() below
}

namespace baton::net {

// Any stream of baton::net: tcp_stream, tls_stream, and others with the same calls.
template <class Stream>
concept adaptable_stream = requires(Stream& s, bytes into, std::span<const const_bytes> pieces) {
  { s.read(into) } -> std::same_as<absl::StatusOr<std::size_t>>;
  { s.write_v(pieces) } -> std::same_as<absl::Status>;
  { s.close_write() } -> std::same_as<absl::Status>;
};

// The category of errors that are neither an errno nor one of Asio's: the value is an absl::StatusCode.
inline const boost::system::error_category& status_category() noexcept {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"  // Boost's base class has none
  struct category final : boost::system::error_category {
    [[nodiscard]] const char* name() const noexcept override { return "baton.status"; }
    [[nodiscard]] std::string message(int value) const override {
      return absl::StatusCodeToString(static_cast<absl::StatusCode>(value));
    }
  };
#pragma GCC diagnostic pop
  static const category one;
  return one;
}

// Returns the status as an error code, as described above. An OK status gives no error.
[[nodiscard]] inline boost::system::error_code to_error_code(const absl::Status& status) {
  if (status.ok()) return {};
  if (const int error = errno_of(status); error != 0) return {error, boost::asio::error::get_system_category()};
  if (absl::IsDeadlineExceeded(status)) return boost::asio::error::timed_out;
  if (absl::IsCancelled(status)) return boost::asio::error::operation_aborted;
  return {static_cast<int>(status.code()), status_category()};
}

// Stream: a stream, which the asio_stream then owns, or a reference to one.
template <class Stream>
requires adaptable_stream<std::remove_reference_t<Stream>>
class asio_stream {
 public:
  using executor_type = boost::asio::io_context::executor_type;
  using next_layer_type = std::remove_reference_t<Stream>;

  explicit asio_stream(Stream&& stream) noexcept : stream_(std::forward<Stream>(stream)) {}

  [[nodiscard]] next_layer_type& next_layer() noexcept { return stream_; }
  [[nodiscard]] const next_layer_type& next_layer() const noexcept { return stream_; }

  // Returns the executor of a context of the process that no thread runs.
  [[nodiscard]] executor_type get_executor() const noexcept {
    static auto& idle = *new boost::asio::io_context(1);  // never destroyed: streams may outlive static objects
    return idle.get_executor();
  }

  // Switch. Return the number of bytes that were read or written. Those without `ec` throw boost::system::system_error.
  // A write writes all of the buffers or fails; then it returns how much was written.
  template <class MutableBuffers>
  std::size_t read_some(const MutableBuffers& buffers, boost::system::error_code& ec) {
    const boost::asio::mutable_buffer into = first_not_empty(buffers);
    ec = {};
    if (into.size() == 0) return 0;
    const absl::StatusOr<std::size_t> n = stream_.read(bytes(into.data(), into.size()));
    if (!n.ok()) return fail(n.status(), last_read_, ec);
    if (*n == 0) ec = boost::asio::error::eof;
    return *n;
  }
  template <class MutableBuffers>
  std::size_t read_some(const MutableBuffers& buffers) {
    boost::system::error_code ec;
    const std::size_t n = read_some(buffers, ec);
    if (ec) throw boost::system::system_error(ec, "read_some");
    return n;
  }

  template <class ConstBuffers>
  std::size_t write_some(const ConstBuffers& buffers, boost::system::error_code& ec) {
    ec = {};
    std::array<const_bytes, 16> pieces;
    std::size_t used = 0;
    std::size_t size = 0;
    for (auto i = boost::asio::buffer_sequence_begin(buffers);
         i != boost::asio::buffer_sequence_end(buffers) && used < pieces.size(); ++i) {
      const boost::asio::const_buffer piece(*i);
      if (piece.size() == 0) continue;
      pieces[used++] = const_bytes(piece.data(), piece.size());
      size += piece.size();
    }
    if (used == 0) return 0;
    const absl::Status s = stream_.write_v(std::span<const const_bytes>(pieces.data(), used));
    return s.ok() ? size : fail(s, last_write_, ec);
  }
  template <class ConstBuffers>
  std::size_t write_some(const ConstBuffers& buffers) {
    boost::system::error_code ec;
    const std::size_t n = write_some(buffers, ec);
    if (ec) throw boost::system::system_error(ec, "write_some");
    return n;
  }

  // The status behind the last error of a read (a write) that was not eof: with operation, object and reason. For the
  // fiber that reads (writes), while it is the only one.
  [[nodiscard]] const absl::Status& last_read_status() const noexcept { return last_read_; }
  [[nodiscard]] const absl::Status& last_write_status() const noexcept { return last_write_; }

 private:
  template <class Buffers>
  static boost::asio::mutable_buffer first_not_empty(const Buffers& buffers) {
    for (auto i = boost::asio::buffer_sequence_begin(buffers); i != boost::asio::buffer_sequence_end(buffers); ++i) {
      const boost::asio::mutable_buffer one(*i);
      if (one.size() > 0) return one;
    }
    return {};
  }

  static std::size_t fail(const absl::Status& s, absl::Status& last, boost::system::error_code& ec) {
    ec = to_error_code(s);
    last = s;
    return written_of(s);
  }

  Stream stream_;
  absl::Status last_read_;
  absl::Status last_write_;
};

template <class Stream>
asio_stream(Stream&&) -> asio_stream<Stream>;

// Beast calls this when a WebSocket has been closed: ends the sending side, and reads on to the end. Set a read
// deadline on the stream to bound that. Switches.
template <class Stream>
void teardown(boost::beast::role_type, asio_stream<Stream>& stream, boost::system::error_code& ec) {
  if (const absl::Status s = stream.next_layer().close_write(); !s.ok()) {
    ec = to_error_code(s);
    return;
  }
  std::array<std::byte, 1024> rest;
  absl::StatusOr<std::size_t> n = std::size_t{0};
  do {
    n = stream.next_layer().read(bytes(rest));
  } while (n.ok() && *n > 0);
  ec = to_error_code(n.status());
}

}  // namespace baton::net
