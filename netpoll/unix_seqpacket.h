// Public API: a connection between two processes of one host that carries packets: in order, and each whole.
//
// Thread-safe: any number of fibers and plain threads may use one at once. Receives queue behind receives, sends behind
// sends; a receive and a send run at the same time. unix_socket.h has descriptors and credentials; descriptor_owner.h
// has deadlines, contexts and close(). Errors as for unix_stream.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/dial.h>
#include <baton/netpoll/unix_socket.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace baton::net {

struct unix_seqpacket_state;

class unix_seqpacket : public unix_socket<two_sided_owner<unix_seqpacket_state>> {
 public:
  unix_seqpacket() noexcept = default;  // not open

  // As those of unix_stream.
  static absl::StatusOr<unix_seqpacket> dial(const std::string& path, dial_options options = {});
  static absl::StatusOr<std::pair<unix_seqpacket, unix_seqpacket>> pair();
  [[nodiscard]] static absl::StatusOr<unix_seqpacket> adopt(int fd);

  // Switches. Sends one packet, whole or not at all, and returns its size. INVALID_ARGUMENT: it is empty, which a
  // receiver takes for the end. EMSGSIZE: it is larger than the socket's send buffer.
  absl::StatusOr<std::size_t> send(const_bytes packet);
  // Switches. Receives one packet and returns its size; 0: the end. If it is larger than the buffer, fails with
  // EMSGSIZE; the buffer has its first bytes, and the rest is lost. receive_fds() tells instead.
  absl::StatusOr<std::size_t> receive(bytes buffer);
  // The peer finds the end after what has been sent. Receiving goes on. Does not wait.
  absl::Status close_write();

  // Return the addresses as they were when the connection was made, also after close(). They are empty for an end
  // without a name.
  [[nodiscard]] address local_address() const;
  [[nodiscard]] address remote_address() const;

  // For the makers of connections (unix_seqpacket_listener).
  explicit unix_seqpacket(std::unique_ptr<unix_seqpacket_state> state) noexcept;
};

}  // namespace baton::net
