// From names to addresses.
#pragma once

#include <baton/netpoll/address.h>

#include <absl/status/statusor.h>
#include <string>
#include <vector>

namespace baton::net {

struct resolve_options {
  address::family family = address::family::none;  // ipv4 or ipv6 only; none: both
  int port = 0;                                    // what the addresses shall carry
};

// (S) The addresses of a host, at least one, in the order in which they should be tried (RFC 6724),
// each once. Numbers ("127.0.0.1", "::1", "fe80::1%eth0") are only parsed. Names go to the C library's
// resolver, in a declared blocking call. Errors: NOT_FOUND (no such host), UNAVAILABLE (try again
// later), INVALID_ARGUMENT (no host at all). Thread-safe.
absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options = {});

// (S) The same for a host with a port or service name; an empty host is the loopback address, as for
// connecting. Numbers are only parsed.
absl::StatusOr<std::vector<address>> resolve_host_port(const host_and_port& where, address::family family);

}  // namespace baton::net
