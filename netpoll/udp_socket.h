// Public API: a UDP socket.
//
//   auto socket = baton::net::udp_socket::bind(":7000");
//   if (!socket.ok()) return socket.status();
//   auto d = socket->receive_from(buffer);
//   if (d.ok()) (void)socket->send_to({buffer, d->size}, d->from);
//
// Thread-safe: any number of fibers and plain threads may use one socket at once. Receives queue behind receives, sends
// behind sends; a receive and a send run at the same time. Each call is one unit: no datagrams of other sends come
// between those of one send_many(). Deadlines, contexts, close() and release() are those of descriptor_owner.h.
//
// Errors: DEADLINE_EXCEEDED after a deadline, the context's code after cancellation, CANCELLED after close(),
// FAILED_PRECONDITION for a socket that is not open; else the kernel's error (errno_of(status)). The next call of
// either side returns, once, what the network reports about datagrams of a connected socket: ECONNREFUSED when no
// socket has the peer's port, EHOSTUNREACH, EMSGSIZE when the path takes no such size. A socket that is not connected
// gets no such error.
#pragma once

#include <baton/netpoll/datagram.h>
#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/options.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace baton::net {

struct udp_state;

struct udp_options {
  time_limit timeout = {};  // for the look-up of a name
  context_option ctx = {};  // a baton::context: ends the look-up with its error
  std::string local = {};   // of connect(): the IP address to send from, "10.0.0.1:0"
  // SO_REUSEADDR: several sockets may have the port. Each gets every multicast and broadcast. The socket that was bound
  // last gets the rest.
  bool reuse_address = false;
  bool reuse_port = false;  // SO_REUSEPORT: several sockets share the port; each datagram goes to one of them
  bool v6_only = false;     // an IPv6 socket neither receives from IPv4 nor sends to it
  bool broadcast = false;   // may send to broadcast addresses; else that is EACCES
  // UDP_GRO: the kernel may join datagrams of one sender and of one size, which saves a system call for each; see
  // datagram::segment. Use buffers of 64 KiB. A kernel without GRO joins nothing.
  bool gro = false;
};

class udp_socket : public two_sided_owner<udp_state> {
 public:
  udp_socket() noexcept = default;  // not open

  // Takes "127.0.0.1:53", "[::1]:53", "localhost:domain"; ":53" means every address of the host, IPv4 and IPv6. Port 0:
  // the kernel chooses one, see local_address(). Switches if the host is a name that must be looked up.
  static absl::StatusOr<udp_socket> bind(const std::string& address, udp_options options = {});
  // Takes "host:port" as dial() does. The socket then sends to that address, and receives only from it. If a name has
  // several addresses, takes the first one that the host has a route to. Sends nothing. Switches as bind().
  static absl::StatusOr<udp_socket> connect(const std::string& address, udp_options options = {});
  // Takes over a UDP socket and sets O_NONBLOCK. After an error (EBADF, ENOTSOCK, EPROTOTYPE: of another kind, ENOMEM
  // …) it still belongs to the caller. Never switches.
  [[nodiscard]] static absl::StatusOr<udp_socket> adopt(int fd);

  // Switches. Sends one datagram, whole or not at all, and returns its size. EMSGSIZE: it is too large. Waits while the
  // socket's send buffer is full.
  absl::StatusOr<std::size_t> send_to(const_bytes data, const address& to);
  // The same to the peer that the socket is connected to; EDESTADDRREQ without one.
  absl::StatusOr<std::size_t> send(const_bytes data);

  // Switches. Receives one datagram. If it is larger than the buffer, its rest is lost, and datagram::truncated says
  // so.
  absl::StatusOr<datagram> receive_from(bytes buffer);
  // Switches. Receives one datagram and returns its size, which may be 0. If it is larger than the buffer, fails with
  // EMSGSIZE; the buffer has its first bytes, and the rest is lost. FAILED_PRECONDITION on a socket with
  // udp_options::gro, because the result cannot say where joined datagrams begin.
  absl::StatusOr<std::size_t> receive(bytes buffer);

  // Switches. Sends datagrams in order, as many as possible with each system call (sendmmsg, UDP_SEGMENT). Returns how
  // many elements were sent. If that is fewer than given, the next one failed; send it again to learn why. An error
  // means that no element was sent, but the first segments of an element may have been.
  absl::StatusOr<int> send_many(std::span<const outgoing> datagrams);
  // Switches. Waits for a datagram, and receives those that have come, with one system call (recvmmsg), 64 at most.
  // Returns how many elements it has filled, from the first one on; 0 only if there are none.
  absl::StatusOr<int> receive_many(std::span<incoming> datagrams);

  // Multicast. A group is an IPv4 or IPv6 address; its port plays no part. The interface has a name ("eth0") or a
  // number; without one, that of the group's zone ("[ff02::1%eth0]:0"), or the one that the kernel's routes choose. The
  // socket receives multicasts only of groups that it has joined itself. EADDRINUSE: joined already; EADDRNOTAVAIL: not
  // joined; ENODEV: no such interface; INVALID_ARGUMENT: not a multicast address.
  absl::Status join_group(const address& group, const std::string& interface_name = {});
  absl::Status leave_group(const address& group, const std::string& interface_name = {});
  // Options of the multicasts that this socket sends: whether this host receives them, too (default: yes); how many
  // routers they pass (0 to 255, default 1); the interface by which they leave ("": the routes choose).
  absl::Status set_multicast_loop(bool on);
  absl::Status set_multicast_ttl(int hops);
  absl::Status set_multicast_interface(const std::string& interface_name);

  absl::Status set_broadcast(bool on);
  // Sets the size of the kernel's buffer for the socket, in bytes. The kernel doubles it, and caps it
  // (net.core.rmem_max, wmem_max). The kernel drops datagrams for which there is no room.
  absl::Status set_receive_buffer(int bytes);
  absl::Status set_send_buffer(int bytes);

  // Return the addresses as they were when the socket was made, also after close(). The remote address names nothing
  // unless the socket is connected.
  [[nodiscard]] address local_address() const;
  [[nodiscard]] address remote_address() const;

 private:
  using two_sided_owner::two_sided_owner;
};

}  // namespace baton::net
