// A dial looks the name up, then connects.
#include <baton/netpoll/dial.h>

#include <baton/netpoll/connect.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/resolve.h>

#include <algorithm>
#include <utility>

namespace baton::net {

namespace {

// Returns the address to connect from. INVALID_ARGUMENT: no IP address.
absl::StatusOr<address> parse_local(const std::string& text) {
  absl::StatusOr<address> local = address::parse(text);
  if (!local.ok() || local->is_ip()) return local;
  return absl::InvalidArgumentError(describe("dial", "from " + text, "the local address is not an IP address"));
}

const char* name_of(address::family f) noexcept { return f == address::family::ipv4 ? "IPv4" : "IPv6"; }

}  // namespace

absl::StatusOr<tcp_stream> dial(const std::string& target, dial_options options) {
  connect_options how;
  how.limits = {options.timeout.deadline_ns(), options.ctx.get()};
  how.keep_alive_ns = options.keep_alive.ns() == sched::platform::forever_ns ? 0 : options.keep_alive.ns();
  how.control = std::move(options.control);
  how.head_start_ns = std::max<std::int64_t>(options.head_start.ns(), 0);
  address::family family = address::family::none;
  if (!options.local.empty()) {
    absl::StatusOr<address> local = parse_local(options.local);
    if (!local.ok()) return local.status();
    how.local = *std::move(local);
    family = how.local.kind();
  }
  absl::StatusOr<host_and_port> where = split_host_port(target);
  if (!where.ok()) return where.status();
  if (absl::Status s = how.limits.check("dial " + target); !s.ok()) return s;
  const absl::StatusOr<address> number = address::from_ip(where->host, 0);
  if (number.ok() && family != address::family::none && number->kind() != family) {
    return absl::InvalidArgumentError(
        describe("dial", target, std::string("not possible from ") + options.local + ", which is " + name_of(family)));
  }
  absl::StatusOr<std::vector<address>> addresses = resolve_host_port(options.names, *where, family, how.limits);
  if (!addresses.ok()) {
    if (absl::Status s = how.limits.check("dial " + target); !s.ok()) return s;
    return addresses.status();
  }
  return connect_to_any(*addresses, how);
}

}  // namespace baton::net
