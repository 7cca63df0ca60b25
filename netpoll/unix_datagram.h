// Public API: a socket for datagrams within one host. They arrive in order, and none is lost: a sender waits while the
// receiver has too many (net.unix.max_dgram_qlen).
//
// Thread-safe: any number of fibers and plain threads may use one socket at once. Receives queue behind receives, sends
// behind sends; a receive and a send run at the same time. unix_socket.h has descriptors, for sockets that are
// connected or ends of a pair; descriptor_owner.h has deadlines, contexts and close().
//
// Errors: DEADLINE_EXCEEDED after a deadline, the context's code after cancellation, CANCELLED after close(),
// FAILED_PRECONDITION for a socket that is not open; else the kernel's error (errno_of(status)). ECONNREFUSED: the
// receiver is gone; ENOENT: no such file; EMSGSIZE: the datagram is larger than the socket's send buffer.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/datagram.h>
#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/unix_socket.h>
#include <baton/syscall/bytes.h>

#include <absl/status/statusor.h>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace baton::net {

struct unix_datagram_state;

class unix_datagram : public unix_socket<two_sided_owner<unix_datagram_state>> {
 public:
  unix_datagram() noexcept = default;  // not open

  // Switches. Makes a socket that receives at a path or "@name"; "@" lets the kernel choose a name, see
  // local_address().
  static absl::StatusOr<unix_datagram> bind(const std::string& path, unix_options options = {});
  // Switches. Makes a socket that sends to a path or "@name", and receives only from it. The peer can answer only if
  // unix_options::local is given.
  static absl::StatusOr<unix_datagram> connect(const std::string& path, unix_options options = {});
  // Makes two sockets that are connected with each other. Never switches.
  static absl::StatusOr<std::pair<unix_datagram, unix_datagram>> pair();
  // Takes over a socket and sets O_NONBLOCK. After an error (EBADF, ENOTSOCK, EPROTOTYPE: of another kind, ENOMEM …) it
  // still belongs to the caller. Never switches.
  [[nodiscard]] static absl::StatusOr<unix_datagram> adopt(int fd);

  // Switches. Sends one datagram, whole or not at all, and returns its size. It may be empty. While the receiver has
  // too many, it waits. The kernel does not tell when there is room at a socket that this one is not connected to, so
  // send_to() then tries again, more and more seldom (every 20 ms at last).
  absl::StatusOr<std::size_t> send_to(const_bytes data, const address& to);
  // The same to the peer that the socket is connected to; ENOTCONN without one.
  absl::StatusOr<std::size_t> send(const_bytes data);

  // Switches. Receives one datagram. If it is larger than the buffer, its rest is lost, and datagram::truncated says
  // so. A sender without a name has an address that names nothing.
  absl::StatusOr<datagram> receive_from(bytes buffer);
  // Switches. Receives one datagram and returns its size, which may be 0. If it is larger than the buffer, fails with
  // EMSGSIZE; the buffer has its first bytes, and the rest is lost.
  absl::StatusOr<std::size_t> receive(bytes buffer);

  // Return the addresses as they were when the socket was made, also after close(). They are empty for an end without a
  // name.
  [[nodiscard]] address local_address() const;
  [[nodiscard]] address remote_address() const;

 private:
  using unix_socket::unix_socket;
};

}  // namespace baton::net
