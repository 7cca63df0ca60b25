// From names to addresses.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/options.h>

#include <absl/status/statusor.h>
#include <string>
#include <vector>

namespace baton::net {

struct wait_limits;

struct resolve_options {
  time_limit timeout = {};                         // for the look-up
  context_option ctx = {};                         // a baton::context: ends the wait with its error
  address::family family = address::family::none;  // ipv4 or ipv6 only; none: both
  int port = 0;                                    // what the addresses shall carry
};

// (S) The addresses of a host, at least one, in the order in which they should be tried (RFC 6724),
// each once. Numbers ("127.0.0.1", "::1", "fe80::1%eth0") are only parsed, as address::from_ip() does.
//
// Names go to the C library's resolver, on threads of its own: at most 32, however many ask, and those who
// ask for the same name at the same time share one look-up. The caller is parked. It leaves when its time-out
// passes or its context is done; the look-up then ends by itself, and until it has, shutdown() is refused.
//
// Errors: NOT_FOUND (there is no such host, or it has no such address), UNAVAILABLE (no answer; try again
// later), INVALID_ARGUMENT (neither a name nor a number: "", "127.1", a NUL inside), DEADLINE_EXCEEDED, the
// context's error, RESOURCE_EXHAUSTED. Thread-safe.
absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options = {});

// (S) The port of "80" or "http". INVALID_ARGUMENT: neither a number from 0 to 65535 nor a name; NOT_FOUND: no
// such service, which the message names. Internal to netpoll, as the next one.
absl::StatusOr<int> resolve_port(const std::string& port, const wait_limits& limits);

// (S) The same for a host with a port or service name; an empty host is this host's loopback addresses, as for
// connecting. Numbers are only parsed.
absl::StatusOr<std::vector<address>> resolve_host_port(const host_and_port& where, address::family family,
                                                       const wait_limits& limits);

}  // namespace baton::net
