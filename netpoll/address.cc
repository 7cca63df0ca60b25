// Text and sockaddr forms of addresses. No code here looks a name up.
#include <baton/netpoll/address.h>

#include <baton/sched/log/fatal.h>
#include <baton/syscall/c_string.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace baton::net {

namespace {

// In a message the given text stands in quotes. Characters that would not show are written as \x00.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr std::string_view digits = "0123456789abcdef";
    if (byte < 0x20 || byte == 0x7f) {
      out.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    } else {
      out += c;
    }
  }
  return out += '"';
}

absl::Status invalid(std::string_view text, std::string_view why, std::string_view what = "address ") {
  return absl::InvalidArgumentError(std::string(what).append(quoted(text)).append(": ").append(why));
}

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Returns a number that is written in decimal digits alone, without leading zeros, and no larger than `max`; else -1.
std::int64_t parse_number(std::string_view text, std::uint32_t max) noexcept {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return -1;
  if (text.size() > 1 && text.front() == '0') return -1;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && value <= max ? std::int64_t{value} : -1;
}

bool parse_ipv4(std::string_view text, unsigned char* out) noexcept {
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = part < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return false;
    const std::int64_t value = parse_number(text.substr(0, dot), 255);
    if (value < 0) return false;
    out[part] = static_cast<unsigned char>(value);
    text.remove_prefix(part < 3 ? dot + 1 : dot);
  }
  return true;
}

constexpr std::array<unsigned char, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The longest names. An abstract name begins with a NUL, which '@' stands for; a path ends with a NUL.
constexpr std::size_t abstract_max = sizeof(sockaddr_un::sun_path);
constexpr std::size_t path_max = abstract_max - 1;

bool is_path(std::string_view text) noexcept {
  return text.substr(0, 1) == "/" || text.substr(0, 2) == "./" || text.substr(0, 3) == "../";
}

}  // namespace

std::uint32_t interface_number(std::string_view text) noexcept {
  if (const std::int64_t number = parse_number(text, UINT32_MAX); number >= 0) {
    return static_cast<std::uint32_t>(number);
  }
  const sys::c_string name(text);
  return name.error() == 0 ? ::if_nametoindex(name.get()) : 0;
}

int parse_port(std::string_view text) noexcept { return static_cast<int>(parse_number(text, 65535)); }

absl::Status check_host_name(std::string_view host) {
  constexpr std::size_t length_max = 254;  // of a domain name, with the dot at its end
  constexpr std::string_view foreign = " #%/:<>?@[\\]^|\x7f";
  if (host.empty()) return invalid(host, "empty", "host ");
  if (host.size() > length_max) return invalid(host.substr(0, 64), "too long for a name; it begins so", "host ");
  for (const char c : host) {
    if (static_cast<unsigned char>(c) < 0x20 || foreign.find(c) != std::string_view::npos) {
      return invalid(host, "neither a name nor an IP address", "host ");
    }
  }
  std::string_view last = host;
  if (last.back() == '.') last.remove_suffix(1);
  last.remove_prefix(last.rfind('.') + 1);  // npos + 1: 0
  const bool is_hex = last.size() >= 2 && last[0] == '0' && (last[1] == 'x' || last[1] == 'X') &&
                      last.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
  const bool has_letter = std::any_of(last.begin(), last.end(),
                                      [](char c) { return is_letter(c) || static_cast<unsigned char>(c) >= 0x80; });
  if (is_hex || !has_letter) {
    return invalid(host, "not an IP address: those are four decimal numbers, or IPv6", "host ");
  }
  return absl::OkStatus();
}

absl::Status check_service_name(std::string_view service) {
  static constexpr std::string_view beside = "-_+.*/";
  const bool fits = std::all_of(service.begin(), service.end(), [](char c) {
    return is_digit(c) || is_letter(c) || beside.find(c) != std::string_view::npos;
  });
  if (fits && std::any_of(service.begin(), service.end(), is_letter)) return absl::OkStatus();
  return invalid(service, "neither a number from 0 to 65535 nor the name of a service", "port ");
}

absl::StatusOr<host_and_port> split_host_port(std::string_view text) {
  host_and_port parts;
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return invalid(text, "']' is missing");
    parts.host = text.substr(1, close - 1);
    if (parts.host.find(':') == std::string::npos) return invalid(text, "brackets are for an IPv6 address");
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
  if (parse_ipv4(ip, a.ip_.data())) {
    a.family_ = family::ipv4;
    return a;
  }
  const std::size_t percent = ip.find('%');
  const sys::c_string number(ip.substr(0, percent));
  if (number.error() != 0 || ::inet_pton(AF_INET6, number.get(), a.ip_.data()) != 1) {
    return invalid(ip, "not an IP address");
  }
  a.family_ = family::ipv6;
  a.unmap();
  if (percent != std::string_view::npos) {
    a.scope_ = interface_number(ip.substr(percent + 1));
    if (a.scope_ == 0) return invalid(ip, "no such interface");
    if (a.family_ == family::ipv4) return invalid(ip, "an IPv4 address has no zone");
  }
  return a;
}

absl::StatusOr<address> address::parse(std::string_view text) {
  if (text.empty()) return invalid(text, "empty");
  if (is_path(text) || text.front() == '@') return from_path(text);
  absl::StatusOr<host_and_port> parts = split_host_port(text);
  if (!parts.ok()) return parts.status();
  const int port = parse_port(parts->port);
  if (port < 0) return invalid(text, "the port is not a number from 0 to 65535");
  absl::StatusOr<address> a = from_ip(parts->host.empty() ? "::" : parts->host, port);
  if (!a.ok() && parts->host.find('%') != std::string::npos) return a;  // it may be the zone that is wrong
  if (!a.ok()) return invalid(text, "the host is not an IP address");
  return a;
}

absl::StatusOr<address> address::from_path(std::string_view path) {
  if (path.empty()) return invalid(path, "empty");
  if (path.find('\0') != std::string_view::npos) return invalid(path, "contains a NUL");
  const bool is_abstract = path.front() == '@';
  address a;
  a.family_ = family::local;
  // As from_sockaddr() gives it.
  if (!is_abstract && !is_path(path)) a.path_ = "./";
  a.path_.append(path);
  if (a.path_.size() > (is_abstract ? abstract_max : path_max)) return invalid(path, "too long for a Unix socket");
  return a;
}

void address::unmap() noexcept {
  if (!std::equal(mapped_prefix.begin(), mapped_prefix.end(), ip_.begin())) return;
  family_ = family::ipv4;
  scope_ = 0;
  std::copy(ip_.begin() + mapped_prefix.size(), ip_.end(), ip_.begin());
  std::fill(ip_.begin() + 4, ip_.end(), static_cast<unsigned char>(0));
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
    a.unmap();
  } else if (sa->sa_family == AF_UNIX) {
    a.family_ = family::local;
    const auto* const name = reinterpret_cast<const char*>(sa) + offsetof(sockaddr_un, sun_path);
    const std::size_t length = std::min<std::size_t>(size - offsetof(sockaddr_un, sun_path), abstract_max);
    if (size <= offsetof(sockaddr_un, sun_path)) return a;  // unnamed
    if (name[0] == '\0') {
      a.path_.assign(name, length);
      a.path_[0] = '@';
    } else {
      a.path_.assign(name, ::strnlen(name, length));
      // As parse() expects it; and "@x" in the working directory is not an abstract name.
      if (!is_path(a.path_)) a.path_.insert(0, "./");
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
      const std::size_t length = path_.size();
      if (length > sizeof un.sun_path) return 0;  // from_sockaddr() has put "./" before it
      std::memcpy(un.sun_path, path_.data(), length);
      const bool abstract = !path_.empty() && path_.front() == '@';
      if (abstract) un.sun_path[0] = '\0';
      std::memcpy(&out, &un, sizeof un);
      return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length +
                                    (abstract || length == 0 || length == sizeof un.sun_path ? 0 : 1));
    }
  }
  return 0;
}

std::string address::ip() const {
  char text[INET6_ADDRSTRLEN] = {};
  if (!is_ip()) return {};
  ::inet_ntop(family_ == family::ipv4 ? AF_INET : AF_INET6, ip_.data(), text, sizeof text);
  std::string out = text;
  if (scope_ != 0) {
    char name[IF_NAMESIZE] = {};
    out += '%';
    out += ::if_indextoname(scope_, name) != nullptr ? std::string(name) : std::to_string(scope_);
  }
  return out;
}

std::string address::to_string() const {
  switch (family_) {
    case family::none: return {};
    case family::local: return path_;
    case family::ipv4: return ip() + ":" + std::to_string(port_);
    case family::ipv6: return "[" + ip() + "]:" + std::to_string(port_);
  }
  return {};
}

bool address::is_wildcard() const noexcept {
  return is_ip() && std::all_of(ip_.begin(), ip_.end(), [](unsigned char b) { return b == 0; });
}

bool address::is_loopback() const noexcept {
  if (family_ == family::ipv4) return ip_[0] == 127;
  return family_ == family::ipv6 && ip_.back() == 1 &&
         std::all_of(ip_.begin(), ip_.end() - 1, [](unsigned char b) { return b == 0; });
}

bool address::is_multicast() const noexcept {
  if (family_ == family::ipv4) return (ip_[0] & 0xf0) == 0xe0;
  return family_ == family::ipv6 && ip_[0] == 0xff;
}

address address::with_port(int port) const {
  if (port < 0 || port > 65535) sched::fatal("address::with_port(%d): a port is 0 to 65535", port);
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
