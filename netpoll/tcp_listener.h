// A TCP socket that accepts connections.
//
// Thread-safe as tcp_stream: any number of fibers and threads may accept (one at a time is served),
// close() may come from anywhere; moving and destroying is for the owner. Errors as for streams.
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
  bool v6_only = false;     // an IPv6 listener leaves IPv4 alone
};

// What accept() has seen, in all listeners, since the process began.
struct accept_counters {
  std::uint64_t dropped = 0;  // connections that failed before accept() could return them
  std::uint64_t put_off = 0;  // times that it paused because something was short
};
[[nodiscard]] accept_counters read_accept_counters() noexcept;

class tcp_listener {
 public:
  tcp_listener() noexcept;  // not open
  tcp_listener(tcp_listener&&) noexcept;
  tcp_listener& operator=(tcp_listener&&) noexcept;  // (S) closes what was there
  ~tcp_listener();                                   // (S) as close(); at exit: as ~tcp_stream()

  // "127.0.0.1:80", "[::1]:80", "localhost:http"; ":80" and ":http" are every address of the host, IPv4 and IPv6.
  // Port 0: the kernel chooses one, see local_address(). SO_REUSEADDR is set, and TCP_NODELAY for all
  // streams. (S) when the host is a name that must be looked up.
  static absl::StatusOr<tcp_listener> bind(const std::string& address, listen_options options = {});

  // (S) The next connection. An error is one that ends the listener: CANCELLED after close(), a deadline, a
  // context, or a socket that listens no more (EBADF, EINVAL, ENOTSOCK). What befalls one connection (ECONNABORTED,
  // EPROTO, EPERM ...) is passed over. When descriptors or memory run short (EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC
  // of epoll), or on an errno that nobody knows, it tries again after 5 ms, doubling up to 1 s. stats() counts both.
  absl::StatusOr<tcp_stream> accept();

  // Never switch; as tcp_stream's, for accept().
  template <class Clock, class Duration>
  void set_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(detail::deadline_at(when));
  }
  template <cancellation_source Context>
  void set_context(const Context& c) {
    set_cancellation(c.as_cancellation());
  }
  void set_cancellation(std::shared_ptr<cancellation> c);

  // (S) Ends the accepts that are under way, waits until they have left, and closes the socket: afterwards the
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
