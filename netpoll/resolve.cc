// Numbers are parsed; names go to a resolver. No text is both: a host that a reader could take for a number, but that
// from_ip() does not accept, is an error. So neither the C library nor c-ares ever reads numbers.
#include <baton/netpoll/resolve.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/lookup.h>
#include <baton/netpoll/resolver_state.h>
#include <baton/netpoll/system_lookup.h>

#include <utility>

namespace baton::net {

absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options) {
  if (!options.servers.empty()) {
    absl::StatusOr<resolver> own = resolver::open({.servers = std::move(options.servers)});
    if (!own.ok()) return own.status();
    options.servers.clear();
    return own->resolve(host, std::move(options));
  }
  return resolver_state::of_process().addresses_of(host, options.family, options.port,
                                                   {options.timeout.deadline_ns(), options.ctx.get()});
}

absl::StatusOr<std::vector<std::string>> names_of(const address& ip, resolve_options options) {
  if (!options.servers.empty()) {
    absl::StatusOr<resolver> own = resolver::open({.servers = std::move(options.servers)});
    if (!own.ok()) return own.status();
    options.servers.clear();
    return own->names_of(ip, std::move(options));
  }
  return resolver_state::of_process().names_of(ip, {options.timeout.deadline_ns(), options.ctx.get()});
}

absl::StatusOr<int> resolve_port(const std::string& port, const wait_limits& limits) {
  if (const int number = parse_port(port); number >= 0) return number;
  if (absl::Status s = check_service_name(port); !s.ok()) return status_for_reason(s, "resolve");
  const lookup_result found = look_up_by_system({.service = port}, limits);
  if (!found.ok()) return found.status();
  return found->addresses.front().port();
}

absl::StatusOr<std::vector<address>> resolve_host_port(const resolver* names, const host_and_port& where,
                                                       address::family family, const wait_limits& limits) {
  const absl::StatusOr<int> port = resolve_port(where.port, limits);
  if (!port.ok()) return port.status();
  if (!where.host.empty()) {
    if (names == nullptr) return resolver_state::of_process().addresses_of(where.host, family, *port, limits);
    const std::shared_ptr<resolver_state>& state = resolver_access::state(*names);
    if (state == nullptr) return not_open("resolve", "resolver");
    return state->addresses_of(where.host, family, *port, limits);
  }
  std::vector<address> loopback;
  for (const char* const number : {"::1", "127.0.0.1"}) {
    address a = *address::from_ip(number, *port);
    if (family == address::family::none || a.kind() == family) loopback.push_back(std::move(a));
  }
  return loopback;
}

}  // namespace baton::net
