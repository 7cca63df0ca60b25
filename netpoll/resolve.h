// Public API: from names to addresses.
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
  int port = 0;                                    // what the addresses will carry
};

// Switches. Returns the addresses of a host: at least one, each once, in the order in which they should be tried (RFC
// 6724). Numbers ("127.0.0.1", "::1", "fe80::1%eth0") are only parsed, as by address::from_ip().
//
// Names go to the C library's resolver, on threads of its own. There are at most 32 of these, however many callers ask.
// Callers that ask for the same name at the same time share one look-up. The caller is parked. It leaves when its
// time-out passes or its context is done. The look-up then ends by itself, and until it has ended, shutdown() is
// refused.
//
// Errors: NOT_FOUND (there is no such host, or it has no such address), UNAVAILABLE (no answer; try again later),
// INVALID_ARGUMENT (neither a name nor a number: "", "127.1", a NUL inside), DEADLINE_EXCEEDED, the context's error,
// RESOURCE_EXHAUSTED. Thread-safe.
absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options = {});

// Switches. Returns the port for "80" or "http". INVALID_ARGUMENT: neither a number from 0 to 65535 nor a name.
// NOT_FOUND: no such service; the message names it. Internal to netpoll, like the next function.
absl::StatusOr<int> resolve_port(const std::string& port, const wait_limits& limits);

// Switches. The same for a host with a port or service name. An empty host means this host's loopback addresses, as for
// connecting. Numbers are only parsed.
absl::StatusOr<std::vector<address>> resolve_host_port(const host_and_port& where, address::family family,
                                                       const wait_limits& limits);

}  // namespace baton::net
