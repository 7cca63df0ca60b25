// Public API: a TCP socket that accepts connections.
//
// Thread-safe like tcp_stream: any number of fibers and threads may accept (one at a time is served), and close() may
// be called from anywhere. Deadlines and contexts end accept(), see descriptor_owner.h. Errors as for streams. After
// close() the port is free.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/tcp_stream.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace baton::net {

struct listener_state;

struct listen_options {
  int backlog = 4096;       // connections that wait to be accepted; the kernel caps it (net.core.somaxconn)
  bool reuse_port = false;  // SO_REUSEPORT: several listeners share the port, and the connections
  bool v6_only = false;     // an IPv6 listener does not take IPv4
  // Probes an idle connection this often, as tcp_stream::set_keep_alive() does; zero or less: never.
  time_limit keep_alive = std::chrono::seconds(15);
  // TCP_DEFER_ACCEPT: accept() returns a connection once its first data has come, or after about this long (whole
  // seconds, rounded up); zero or less: at once. For protocols in which the client speaks first.
  std::chrono::nanoseconds defer_accept{0};
  // TCP_FASTOPEN: how many connections may be in their handshake at once whose first data came with the SYN; 0: none.
  int fast_open = 0;
  // Called with the socket before it is bound, for options that have no name here. An error ends bind().
  std::function<absl::Status(int fd)> control = {};
};

// Counts of accept(), over all listeners, since the process began.
struct accept_counters {
  std::uint64_t dropped = 0;  // connections that failed before accept() could return them
  std::uint64_t put_off = 0;  // pauses because something was short
};
[[nodiscard]] accept_counters read_accept_counters() noexcept;

class tcp_listener : public descriptor_owner<listener_state> {
 public:
  tcp_listener() noexcept = default;  // not open

  // Takes "127.0.0.1:80", "[::1]:80", "localhost:http"; ":80" and ":http" mean every address of the host, IPv4 and
  // IPv6. Port 0: the kernel chooses one, see local_address(). SO_REUSEADDR is set, and TCP_NODELAY for all streams.
  // Switches if the host is a name that must be looked up.
  static absl::StatusOr<tcp_listener> bind(const std::string& address, listen_options options = {});

  // Takes over a socket that listens, and sets O_NONBLOCK; its options stay as they are. After an error (EBADF,
  // ENOTSOCK, EPROTOTYPE: of another kind, EINVAL: it does not listen, ENOMEM …) it still belongs to the caller. Never
  // switches.
  [[nodiscard]] static absl::StatusOr<tcp_listener> adopt(int fd);

  // Switches. Returns the next connection. An error is one that ends the listener: CANCELLED after close(), a deadline,
  // a context, or a socket that does not listen any more (EBADF, EINVAL, ENOTSOCK). An error of a single connection
  // (ECONNABORTED, EPROTO, EPERM ...) is passed over. If descriptors or memory are short (EMFILE, ENFILE, ENOBUFS,
  // ENOMEM, ENOSPC of epoll), or on an unknown errno, it tries again after 5 ms, doubling up to 1 s. stats() counts
  // both.
  absl::StatusOr<tcp_stream> accept();

  [[nodiscard]] address local_address() const;

 private:
  using descriptor_owner::descriptor_owner;
  static absl::StatusOr<tcp_listener> bind_to(const address& where, const listen_options& options);
};

}  // namespace baton::net
