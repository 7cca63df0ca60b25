// Text and sockaddr forms of addresses. Nothing here looks a name up.
#include <baton/netpoll/address.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace baton::net {

namespace {

absl::Status invalid(std::string_view text, std::string_view why) {
  std::string message = "address \"";
  message.append(text).append("\": ").append(why);
  return absl::InvalidArgumentError(message);
}

// The longest name: sun_path without the NUL of a path, or the leading NUL of an abstract name.
constexpr std::size_t path_max = sizeof(sockaddr_un::sun_path) - 1;

}  // namespace

int parse_port(std::string_view text) noexcept {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value <= 65535 ? static_cast<int>(value) : -1;
}

absl::StatusOr<host_and_port> split_host_port(std::string_view text) {
  host_and_port parts;
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return invalid(text, "']' is missing");
    parts.host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
    if (rest.empty() || rest.front() != ':') return invalid(text, "a port is missing");
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return invalid(text, "a port is missing");
    if (text.find(':') != colon) return invalid(text, "too many colons; an IPv6 address goes in brackets");
    parts.host = text.substr(0, colon);
    rest = text.substr(colon);
  }
  parts.port = rest.substr(1);
  if (parts.port.empty()) return invalid(text, "a port is missing");
  return parts;
}

absl::StatusOr<address> address::from_ip(std::string_view ip, int port) {
  if (port < 0 || port > 65535) return invalid(ip, "a port is 0 to 65535");
  address a;
  a.port_ = static_cast<std::uint16_t>(port);
  std::string text(ip);
  if (::inet_pton(AF_INET, text.c_str(), a.ip_.data()) == 1) {
    a.family_ = family::ipv4;
    return a;
  }
  const std::size_t percent = text.find('%');
  if (percent != std::string::npos) {
    const std::string zone = text.substr(percent + 1);
    text.resize(percent);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(zone.data(), zone.data() + zone.size(), number);
    if (error == std::errc{} && end == zone.data() + zone.size()) {
      a.scope_ = number;
    } else {
      a.scope_ = ::if_nametoindex(zone.c_str());
      if (a.scope_ == 0) return invalid(ip, "no such interface");
    }
  }
  if (::inet_pton(AF_INET6, text.c_str(), a.ip_.data()) == 1) {
    a.family_ = family::ipv6;
    return a;
  }
  return invalid(ip, "not an IP address");
}

absl::StatusOr<address> address::parse(std::string_view text) {
  if (text.empty()) return invalid(text, "empty");
  if (text.front() == '/' || text.front() == '.' || text.front() == '@') {
    if (text.size() > path_max) return invalid(text, "too long for a Unix socket");
    if (text.find('\0') != std::string_view::npos) return invalid(text, "contains a NUL");
    address a;
    a.family_ = family::local;
    a.path_ = text;
    return a;
  }
  absl::StatusOr<host_and_port> parts = split_host_port(text);
  if (!parts.ok()) return parts.status();
  const int port = parse_port(parts->port);
  if (port < 0) return invalid(text, "the port is not a number from 0 to 65535");
  absl::StatusOr<address> a = from_ip(parts->host.empty() ? "::" : parts->host, port);
  if (!a.ok()) return invalid(text, "the host is not an IP address");
  return a;
}

address address::from_sockaddr(const sockaddr* sa, socklen_t size) {
  address a;
  if (sa == nullptr || size < sizeof(sa_family_t)) return a;
  if (sa->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, sa, sizeof in);
    a.family_ = family::ipv4;
    a.port_ = ntohs(in.sin_port);
    std::memcpy(a.ip_.data(), &in.sin_addr, 4);
  } else if (sa->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, sa, sizeof in);
    a.family_ = family::ipv6;
    a.port_ = ntohs(in.sin6_port);
    a.scope_ = in.sin6_scope_id;
    std::memcpy(a.ip_.data(), &in.sin6_addr, 16);
  } else if (sa->sa_family == AF_UNIX) {
    a.family_ = family::local;
    const auto* const name = reinterpret_cast<const char*>(sa) + offsetof(sockaddr_un, sun_path);
    const std::size_t length = std::min<std::size_t>(size - offsetof(sockaddr_un, sun_path), path_max + 1);
    if (size <= offsetof(sockaddr_un, sun_path)) return a;  // unnamed
    if (name[0] == '\0') {
      a.path_.assign(name, length);
      a.path_[0] = '@';
    } else {
      a.path_.assign(name, ::strnlen(name, length));
    }
  }
  return a;
}

socklen_t address::to_sockaddr(sockaddr_storage& out) const noexcept {
  std::memset(&out, 0, sizeof out);
  switch (family_) {
    case family::none: return 0;
    case family::ipv4: {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(port_);
      std::memcpy(&in.sin_addr, ip_.data(), 4);
      std::memcpy(&out, &in, sizeof in);
      return sizeof in;
    }
    case family::ipv6: {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port_);
      in.sin6_scope_id = scope_;
      std::memcpy(&in.sin6_addr, ip_.data(), 16);
      std::memcpy(&out, &in, sizeof in);
      return sizeof in;
    }
    case family::local: {
      sockaddr_un un{};
      un.sun_family = AF_UNIX;
      const std::size_t length = std::min(path_.size(), path_max);
      std::memcpy(un.sun_path, path_.data(), length);
      const bool abstract = !path_.empty() && path_.front() == '@';
      if (abstract) un.sun_path[0] = '\0';
      std::memcpy(&out, &un, sizeof un);
      return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + (abstract || length == 0 ? 0 : 1));
    }
  }
  return 0;
}

std::string address::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  switch (family_) {
    case family::none: return {};
    case family::local: return path_;
    case family::ipv4:
      ::inet_ntop(AF_INET, ip_.data(), text, sizeof text);
      return std::string(text) + ":" + std::to_string(port_);
    case family::ipv6: {
      ::inet_ntop(AF_INET6, ip_.data(), text, sizeof text);
      std::string out = std::string("[") + text;
      if (scope_ != 0) {
        char name[IF_NAMESIZE] = {};
        out += '%';
        out += ::if_indextoname(scope_, name) != nullptr ? std::string(name) : std::to_string(scope_);
      }
      return out + "]:" + std::to_string(port_);
    }
  }
  return {};
}

bool address::is_wildcard() const noexcept {
  return is_ip() && std::all_of(ip_.begin(), ip_.end(), [](unsigned char b) { return b == 0; });
}

address address::with_port(int port) const {
  address a = *this;
  a.port_ = static_cast<std::uint16_t>(port);
  return a;
}

std::size_t address::hash() const noexcept {
  const std::string_view ip(reinterpret_cast<const char*>(ip_.data()), ip_.size());
  const std::hash<std::string_view> h;
  return h(ip) ^ (h(path_) * 31) ^ (static_cast<std::size_t>(port_) << 16) ^ (static_cast<std::size_t>(family_) << 40) ^
         scope_;
}

}  // namespace baton::net
