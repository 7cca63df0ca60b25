// Public API: turns names into addresses, by the rules of this system.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/resolver.h>

#include <absl/status/statusor.h>
#include <string>
#include <vector>

namespace baton::net {

struct wait_limits;

// Switches. Looks a host up with the resolver of the process, which has the options of a default resolver_options: see
// resolver::resolve(). With options.servers: with a resolver that is made for this call. Thread-safe.
absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options = {});

// Switches. Returns the names of an IP address: see resolver::names_of(). Thread-safe.
absl::StatusOr<std::vector<std::string>> names_of(const address& ip, resolve_options options = {});

// Switches. Returns the port for "80" or "http". INVALID_ARGUMENT: neither a number from 0 to 65535 nor a name.
// NOT_FOUND: no such service; the message names it. Internal to netpoll, like the next function.
absl::StatusOr<int> resolve_port(const std::string& port, const wait_limits& limits);

// Switches. The same for a host with a port or service name. An empty host means this host's loopback addresses, as for
// connecting. Numbers are only parsed. names: null: the resolver of the process.
absl::StatusOr<std::vector<address>> resolve_host_port(const resolver* names, const host_and_port& where,
                                                       address::family family, const wait_limits& limits);

}  // namespace baton::net
