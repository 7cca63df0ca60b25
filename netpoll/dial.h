// Making TCP connections.
#pragma once

#include <baton/netpoll/options.h>
#include <baton/netpoll/tcp_stream.h>

#include <absl/status/statusor.h>
#include <string>

namespace baton::net {

struct dial_options {
  time_limit timeout = {};  // for all of it: look-up and every address
  context_option ctx = {};  // a baton::context: ends the attempt with its error
  std::string local = {};   // the address to connect from, "10.0.0.1:0"
};

// (S) Connects to "host:port"; the host may be a name, an IPv4 address, an IPv6 address in brackets, or
// empty (this host), the port a number or a service name. When the name has several addresses they are
// tried one after the other, the time left being shared out among those that remain (but at least 2 s
// for each, while it lasts). The error is that of the first address. The stream has TCP_NODELAY set, and
// neither deadline nor context. A look-up under way is not cut short: time-out and context are heeded
// before it and after it.
//
// DEADLINE_EXCEEDED: the time-out; the context's error; NOT_FOUND, UNAVAILABLE: the look-up; else the
// kernel's (errno_of(status) == ECONNREFUSED ...). Callable from any fiber or thread.
absl::StatusOr<tcp_stream> dial(const std::string& host_and_port, dial_options options = {});

}  // namespace baton::net
