// Public API: a TCP socket that accepts connections.
//
// Thread-safe like tcp_stream: any number of fibers and threads may accept (one at a time is served), and close() may
// be called from anywhere. Only the owner may move or destroy it. Errors as for streams.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/options.h>
#include <baton/netpoll/tcp_stream.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace baton::net {

struct listener_state;

struct listen_options {
  int backlog = 4096;       // connections that wait to be accepted; the kernel caps it (net.core.somaxconn)
  bool reuse_port = false;  // SO_REUSEPORT: several listeners share the port, and the connections
  bool v6_only = false;     // an IPv6 listener does not take IPv4
};

// What accept() has seen, in all listeners, since the process began.
struct accept_counters {
  std::uint64_t dropped = 0;  // connections that failed before accept() could return them
  std::uint64_t put_off = 0;  // pauses because something was short
};
[[nodiscard]] accept_counters read_accept_counters() noexcept;

class tcp_listener {
 public:
  tcp_listener() noexcept;  // not open
  tcp_listener(tcp_listener&&) noexcept;
  tcp_listener& operator=(tcp_listener&&) noexcept;  // Switches. Closes what was there
  ~tcp_listener();                                   // Switches. As close(); at exit: as ~tcp_stream()

  // Takes "127.0.0.1:80", "[::1]:80", "localhost:http"; ":80" and ":http" mean every address of the host, IPv4 and
  // IPv6. Port 0: the kernel chooses one, see local_address(). SO_REUSEADDR is set, and TCP_NODELAY for all streams.
  // Switches if the host is a name that must be looked up.
  static absl::StatusOr<tcp_listener> bind(const std::string& address, listen_options options = {});

  // Switches. Returns the next connection. An error is one that ends the listener: CANCELLED after close(), a deadline,
  // a context, or a socket that does not listen any more (EBADF, EINVAL, ENOTSOCK). An error of a single connection
  // (ECONNABORTED, EPROTO, EPERM ...) is passed over. If descriptors or memory are short (EMFILE, ENFILE, ENOBUFS,
  // ENOMEM, ENOSPC of epoll), or on an unknown errno, it tries again after 5 ms, doubling up to 1 s. stats() counts
  // both.
  absl::StatusOr<tcp_stream> accept();

  // These never switch. For accept() they do what tcp_stream's setters do for reads and writes.
  template <class Clock, class Duration>
  void set_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(detail::deadline_at(when));
  }
  template <cancellation_source Context>
  void set_context(const Context& c) {
    set_cancellation(c.as_cancellation());
  }
  void set_cancellation(const std::shared_ptr<cancellation>& c);

  // Switches. Ends the accepts that are under way, waits until they have left, and closes the socket. Afterwards the
  // port is free. Every close() returns only after that.
  void close();

  [[nodiscard]] address local_address() const;
  [[nodiscard]] int native_handle() const noexcept;  // -1 when not open or closed
  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }

 private:
  friend struct test_access;
  explicit tcp_listener(std::unique_ptr<listener_state> s) noexcept;
  static absl::StatusOr<tcp_listener> bind_to(const address& where, const listen_options& options);
  void set_deadline_ns(std::int64_t deadline_ns);

  struct closer {
    void operator()(listener_state* s) const noexcept;
  };
  std::unique_ptr<listener_state, closer> state_;
};

}  // namespace baton::net
