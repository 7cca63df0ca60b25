// Numbers are parsed here; names go to lookup.cc. No text is both: a host that a reader could take for a number, but
// that from_ip() does not accept, is an error. So the C library never reads numbers.
#include <baton/netpoll/resolve.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/lookup.h>

#include <utility>

namespace baton::net {

namespace {

bool fits(const address& a, address::family wanted) noexcept {
  return wanted == address::family::none || a.kind() == wanted;
}

absl::StatusOr<std::vector<address>> resolve_host(const std::string& host, address::family family, int port,
                                                  const wait_limits& limits) {
  if (family == address::family::local) {
    return absl::InvalidArgumentError(describe("resolve", host, "a Unix socket has no IP address"));
  }
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(describe("resolve", "port " + std::to_string(port), "a port is 0 to 65535"));
  }
  absl::StatusOr<address> number = address::from_ip(host, port);
  if (number.ok()) {
    if (fits(*number, family)) return std::vector<address>{*std::move(number)};
    return absl::NotFoundError(describe("resolve", host, "not of the family asked for"));
  }
  // No name has a zone; an address may have one that is not there.
  if (host.find('%') != std::string::npos) return status_for_reason(number.status(), "resolve");
  if (absl::Status s = check_host_name(host); !s.ok()) return status_for_reason(s, "resolve");
  absl::StatusOr<std::vector<address>> all = look_up({host, {}, family}, limits);
  if (all.ok()) {
    for (address& a : *all) a = a.with_port(port);
  }
  return all;
}

}  // namespace

absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options) {
  return resolve_host(host, options.family, options.port, {options.timeout.deadline_ns(), options.ctx.get()});
}

absl::StatusOr<int> resolve_port(const std::string& port, const wait_limits& limits) {
  if (const int number = parse_port(port); number >= 0) return number;
  if (absl::Status s = check_service_name(port); !s.ok()) return status_for_reason(s, "resolve");
  const absl::StatusOr<std::vector<address>> found = look_up({{}, port, address::family::none}, limits);
  if (!found.ok()) return found.status();
  return found->front().port();
}

absl::StatusOr<std::vector<address>> resolve_host_port(const host_and_port& where, address::family family,
                                                       const wait_limits& limits) {
  const absl::StatusOr<int> port = resolve_port(where.port, limits);
  if (!port.ok()) return port.status();
  if (!where.host.empty()) return resolve_host(where.host, family, *port, limits);
  std::vector<address> loopback;
  for (const char* const number : {"::1", "127.0.0.1"}) {
    address a = *address::from_ip(number, *port);
    if (fits(a, family)) loopback.push_back(std::move(a));
  }
  return loopback;
}

}  // namespace baton::net
