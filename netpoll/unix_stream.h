// Public API: a stream between two processes of one host, or two ends in one process.
//
//   auto stream = baton::net::unix_stream::dial("/run/server.sock");
//   if (!stream.ok()) return stream.status();
//   (void)stream->write("hello");
//
// byte_stream.h has reading, writing, thread-safety and errors; unix_socket.h has descriptors and credentials;
// descriptor_owner.h has deadlines, contexts and close(). A write to a peer that has closed is EPIPE. A read from one
// that has closed without reading all is ECONNRESET.
#pragma once

#include <baton/netpoll/byte_stream.h>
#include <baton/netpoll/dial.h>
#include <baton/netpoll/unix_socket.h>

#include <absl/status/statusor.h>
#include <memory>
#include <string>
#include <utility>

namespace baton::net {

struct unix_stream_state;

class unix_stream : public unix_socket<byte_stream<unix_stream_state>> {
 public:
  unix_stream() noexcept = default;  // not open

  // Switches. Connects to a listener's path, or "@name". While its backlog is full, tries again, more and more seldom
  // (every 50 ms at last). Of the options, `timeout` and `ctx` bound that, and `local` must be empty. The errors are
  // those of connect(2): ENOENT: no such file; ECONNREFUSED: no socket listens there; EACCES; EPROTOTYPE: the socket is
  // of another type.
  static absl::StatusOr<unix_stream> dial(const std::string& path, dial_options options = {});
  // Makes two streams that are connected with each other. Never switches.
  static absl::StatusOr<std::pair<unix_stream, unix_stream>> pair();
  // Takes over a connected socket and sets O_NONBLOCK. After an error (EBADF, ENOTSOCK, EPROTOTYPE: of another kind,
  // EINVAL: it listens, ENOMEM …) it still belongs to the caller. Never switches.
  [[nodiscard]] static absl::StatusOr<unix_stream> adopt(int fd);

  // For the makers of streams (unix_listener).
  explicit unix_stream(std::unique_ptr<unix_stream_state> state) noexcept;
};

}  // namespace baton::net
