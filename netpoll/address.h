// Public API: the address of a socket: an IPv4 or IPv6 address with a port, or the name of a Unix socket.
#pragma once

#include <absl/status/statusor.h>
#include <sys/socket.h>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace baton::net {

// A plain value; thread-compatible. A default-constructed address names nothing. An IPv4 address in IPv6 form
// ("::ffff:127.0.0.1", as dual-stack sockets have it) becomes the IPv4 address.
class address {
 public:
  enum class family : std::uint8_t { none, ipv4, ipv6, local };

  address() noexcept = default;

  // Numeric only; never looks a name up, never switches:
  //   "127.0.0.1:80"  "[::1]:80"  "[fe80::1%eth0]:80"  ":80" (every IPv6 and IPv4 address of the host)
  //   "/a/unix.sock", "./a.sock" or "../a.sock"    "@abstract"
  // INVALID_ARGUMENT for everything else, also for a path longer than the kernel takes. Numbers are read strictly: four
  // decimal numbers without leading zeros, spaces or signs. "127.1" and "0x7f.0.0.1" are not addresses.
  static absl::StatusOr<address> parse(std::string_view text);

  // Takes an IP address without port ("127.0.0.1", "::1" or "fe80::1%eth0") and a port. This is the only reader of IP
  // addresses: parse(), dial(), bind() and resolve() accept what it accepts.
  static absl::StatusOr<address> from_ip(std::string_view ip, int port);

  // Takes the name of a Unix socket: a path, also a relative one ("a.sock"), or "@abstract". INVALID_ARGUMENT if it is
  // empty, has a NUL inside, or is longer than the kernel takes.
  static absl::StatusOr<address> from_path(std::string_view path);

  // Converts what the kernel returns. A family other than IPv4, IPv6 and Unix gives an address that names nothing.
  static address from_sockaddr(const sockaddr* sa, socklen_t size);
  // Fills `out`. Returns the size used, or 0 if this names nothing.
  [[nodiscard]] socklen_t to_sockaddr(sockaddr_storage& out) const noexcept;

  // Returns a text that parse() accepts; "" if this names nothing.
  [[nodiscard]] std::string to_string() const;

  [[nodiscard]] family kind() const noexcept { return family_; }
  [[nodiscard]] bool is_ip() const noexcept { return family_ == family::ipv4 || family_ == family::ipv6; }
  [[nodiscard]] bool is_wildcard() const noexcept;           // 0.0.0.0 or ::
  [[nodiscard]] bool is_loopback() const noexcept;           // 127.0.0.0/8 or ::1
  [[nodiscard]] bool is_multicast() const noexcept;          // 224.0.0.0/4 or ff00::/8
  [[nodiscard]] std::string ip() const;                      // "127.0.0.1", "fe80::1%eth0"; "" for other families
  [[nodiscard]] int port() const noexcept { return port_; }  // 0 for Unix sockets
  // Aborts unless port is 0 to 65535.
  [[nodiscard]] address with_port(int port) const;
  // The path, or "@name"; empty for IP addresses.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  friend bool operator==(const address& a, const address& b) noexcept {
    return a.family_ == b.family_ && a.port_ == b.port_ && a.ip_ == b.ip_ && a.scope_ == b.scope_ && a.path_ == b.path_;
  }
  friend bool operator!=(const address& a, const address& b) noexcept { return !(a == b); }
  [[nodiscard]] std::size_t hash() const noexcept;

 private:
  void unmap() noexcept;

  family family_ = family::none;
  std::uint16_t port_ = 0;
  std::uint32_t scope_ = 0;             // the interface of a link-local IPv6 address
  std::array<unsigned char, 16> ip_{};  // network order; IPv4 in the first four
  std::string path_;
};

// Splits "host:port", "[v6]:port" or ":port" into the two parts. The port may be a number or a service name.
// INVALID_ARGUMENT if the port is missing, if an IPv6 address has no brackets, or if the brackets hold something else.
struct host_and_port {
  std::string host;
  std::string port;
};
absl::StatusOr<host_and_port> split_host_port(std::string_view text);

// Returns 0 to 65535 for decimal digits without leading zeros; else -1.
[[nodiscard]] int parse_port(std::string_view text) noexcept;

// Returns the number of a network interface that a text names or numbers ("eth0", "2"); 0: there is none.
[[nodiscard]] std::uint32_t interface_number(std::string_view text) noexcept;

// Check a text that will be looked up as a name, and so is not a number. They return OK or INVALID_ARGUMENT. A host is
// invalid if it has a character that no name has (a NUL, a space, '/', '%' ...). It is also invalid if its last part
// has no letter or is a hexadecimal number, because a reader may take it for an address ("0177.0.0.1", "127.1",
// "0x7f000001"). A service is invalid if it has no letter ("-1", "080", "65536").
[[nodiscard]] absl::Status check_host_name(std::string_view host);
[[nodiscard]] absl::Status check_service_name(std::string_view service);

}  // namespace baton::net

template <>
struct std::hash<baton::net::address> {
  std::size_t operator()(const baton::net::address& a) const noexcept { return a.hash(); }
};
