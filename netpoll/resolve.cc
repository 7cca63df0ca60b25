// Names are looked up by getaddrinfo, which blocks (files, DNS, whatever nsswitch.conf says): so on a
// thread that has declared it, with its P handed on. It needs tens of KiB of stack, which the default
// stack class has.
#include <baton/netpoll/resolve.h>

#include <baton/netpoll/error_text.h>
#include <baton/syscall/blocking.h>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>

namespace baton::net {

namespace {

absl::Status lookup_error(int code, int error, const std::string& host) {
  const std::string text = describe("resolve", host, ::gai_strerror(code));
  switch (code) {
    case EAI_SYSTEM: return errno_status(error, "resolve", host);
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_SERVICE: return absl::NotFoundError(text);
    case EAI_AGAIN:
    case EAI_FAIL: return absl::UnavailableError(text);
    case EAI_MEMORY: return absl::ResourceExhaustedError(text);
    default: return absl::InvalidArgumentError(text);
  }
}

struct lookup {
  addrinfo* list = nullptr;
  int code = 0;
  int error = 0;

  lookup() = default;
  lookup(const lookup&) = delete;
  lookup& operator=(const lookup&) = delete;
  ~lookup() {
    if (list != nullptr) ::freeaddrinfo(list);
  }
};

absl::StatusOr<std::vector<address>> look_up(const std::string& host, const std::string& service,
                                             address::family family) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = family == address::family::ipv4 ? AF_INET : family == address::family::ipv6 ? AF_INET6 : AF_UNSPEC;
  lookup found;
  blocking(will_block, [&] {
    found.code = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.empty() ? nullptr : service.c_str(),
                               &hints, &found.list);
    found.error = errno;
  });
  if (found.code != 0) return lookup_error(found.code, found.error, host.empty() ? service : host);
  std::vector<address> all;
  for (const addrinfo* i = found.list; i != nullptr; i = i->ai_next) {
    address a = address::from_sockaddr(i->ai_addr, i->ai_addrlen);
    if (a.is_ip() && std::find(all.begin(), all.end(), a) == all.end()) all.push_back(std::move(a));
  }
  if (all.empty()) return absl::NotFoundError(describe("resolve", host, "no IP address"));
  return all;
}

bool fits(const address& a, address::family wanted) noexcept {
  return wanted == address::family::none || a.kind() == wanted;
}

}  // namespace

absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options) {
  if (host.empty()) return absl::InvalidArgumentError(describe("resolve", "", "no host"));
  if (absl::StatusOr<address> number = address::from_ip(host, options.port); number.ok()) {
    if (!fits(*number, options.family))
      return absl::NotFoundError(describe("resolve", host, "not of the family asked for"));
    return std::vector<address>{*std::move(number)};
  }
  if (options.port < 0 || options.port > 65535) {
    return absl::InvalidArgumentError(describe("resolve", host, "a port is 0 to 65535"));
  }
  absl::StatusOr<std::vector<address>> all = look_up(host, "", options.family);
  if (all.ok()) {
    for (address& a : *all) a = a.with_port(options.port);
  }
  return all;
}

absl::StatusOr<std::vector<address>> resolve_host_port(const host_and_port& where, address::family family) {
  const int port = parse_port(where.port);
  if (port < 0 && where.port.find_first_not_of("0123456789") == std::string::npos) {
    return absl::InvalidArgumentError(describe("resolve", where.host + ":" + where.port, "a port is 0 to 65535"));
  }
  if (port >= 0 && !where.host.empty()) return resolve(where.host, {family, port});
  return look_up(where.host, where.port, family);
}

}  // namespace baton::net
