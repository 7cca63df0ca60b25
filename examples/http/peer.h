// The stream of a connection: TCP, or TLS over it.
#pragma once

#include <baton/baton.h>
#ifdef EXAMPLES_TLS
#include <baton/netpoll/tls.h>
#endif

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <utility>
#include <variant>

namespace http {

// The calls are those of both streams. Switches where they do.
class peer {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit peer(baton::net::tcp_stream stream) : stream_(std::move(stream)) {}
#ifdef EXAMPLES_TLS
  explicit peer(baton::net::tls_stream stream) : stream_(std::move(stream)) {}
#endif

  absl::StatusOr<std::size_t> read(baton::bytes into) {
    return std::visit([&](auto& s) { return s.read(into); }, stream_);
  }
  absl::StatusOr<std::size_t> write(baton::const_bytes data) {
    return std::visit([&](auto& s) { return s.write(data); }, stream_);
  }
  absl::Status write_v(std::span<const baton::const_bytes> pieces) {
    return std::visit([&](auto& s) { return s.write_v(pieces); }, stream_);
  }
  absl::StatusOr<std::size_t> send_file(const baton::file& file, off_t offset, std::size_t size) {
    return std::visit([&](auto& s) { return s.send_file(file, offset, size); }, stream_);
  }
  absl::Status close_write() {
    return std::visit([](auto& s) { return s.close_write(); }, stream_);
  }
  void set_deadline(time_point when) {
    std::visit([&](auto& s) { s.set_deadline(when); }, stream_);
  }
  void set_read_deadline(time_point when) {
    std::visit([&](auto& s) { s.set_read_deadline(when); }, stream_);
  }
  void set_context(const baton::context& ctx) {
    std::visit([&](auto& s) { s.set_context(ctx); }, stream_);
  }
  void set_write_deadline(time_point when) {
    std::visit([&](auto& s) { s.set_write_deadline(when); }, stream_);
  }

 private:
#ifdef EXAMPLES_TLS
  std::variant<baton::net::tcp_stream, baton::net::tls_stream> stream_;
#else
  std::variant<baton::net::tcp_stream> stream_;
#endif
};

}  // namespace http
