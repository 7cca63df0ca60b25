// Public API: making TCP connections.
#pragma once

#include <baton/netpoll/options.h>
#include <baton/netpoll/resolver.h>
#include <baton/netpoll/tcp_stream.h>

#include <absl/status/statusor.h>
#include <chrono>
#include <functional>
#include <string>

namespace baton::net {

struct dial_options {
  time_limit timeout = {};          // for the whole dial: the look-up and every address
  context_option ctx = {};          // a baton::context: ends the attempt with its error
  std::string local = {};           // the IP address to connect from, "10.0.0.1:0"
  const resolver* names = nullptr;  // looks the host up; null: as resolve() does
  // Probes an idle connection this often, as tcp_stream::set_keep_alive() does; zero or less: never.
  time_limit keep_alive = std::chrono::seconds(15);
  // An address that has not answered for this long is still tried while the next one begins, which is of the other
  // family if there is one. hours::max(): each address waits for the failure of the one before.
  time_limit head_start = std::chrono::milliseconds(300);
  // Called with each socket before it is bound and connected, for options that have no name here. Attempts may run at
  // the same time, but calls of this do not. An error ends the attempt. Not for unix_stream::dial().
  std::function<absl::Status(int fd)> control = {};
};

// Switches. Connects to "host:port". The host may be a name, an IPv4 address, an IPv6 address in brackets, or empty
// (this host); the port may be a number or a service name. Numbers are read as by address::parse(). A host or port that
// is neither a number nor a name is INVALID_ARGUMENT. If the name has several addresses, the families take turns, and
// each address gets a head start before the next. The first address that answers is taken, and the others are given up.
// The error is that of the first address. The stream has TCP_NODELAY set, and neither deadline nor context. Time-out
// and context end the dial wherever it is, also in the look-up (see resolver::resolve()).
//
// Errors: DEADLINE_EXCEEDED for the time-out; the context's error; NOT_FOUND and UNAVAILABLE from the look-up;
// INVALID_ARGUMENT also if `local` is not an IP address, or not of the family of the dialled address; else the kernel's
// error (errno_of(status) == ECONNREFUSED ...). A port of this host on which no socket listens refuses, also if the
// kernel would let the socket connect to itself. May be called from any fiber or thread.
absl::StatusOr<tcp_stream> dial(const std::string& host_and_port, dial_options options = {});

}  // namespace baton::net
