// Turns the text that bind() takes into an address that can be bound. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/lookup.h>
#include <baton/netpoll/resolve.h>
#include <baton/syscall/status.h>

#include <absl/status/statusor.h>
#include <cerrno>
#include <string>
#include <type_traits>
#include <vector>

namespace baton::net {

// Switches if the host is a name that must be looked up. Calls bind_to(address), which returns a StatusOr, for the
// address that the text means. ":80" and ":http" mean every address of both families, or of IPv4 on a host without
// IPv6.
template <class BindTo>
std::invoke_result_t<BindTo&, const address&> bind_to_text(const std::string& text, bool v6_only,
                                                           const wait_limits& limits, BindTo&& bind_to) {
  const absl::StatusOr<host_and_port> parts = split_host_port(text);
  if (!parts.ok()) return parts.status();
  if (parts->host.empty()) {
    const absl::StatusOr<int> port = resolve_port(parts->port, limits);
    if (!port.ok()) return port.status();
    auto both = bind_to(*address::from_ip("::", *port));
    const int error = errno_of(both.status());
    if (v6_only || (error != EAFNOSUPPORT && error != EADDRNOTAVAIL)) return both;
    return bind_to(*address::from_ip("0.0.0.0", *port));
  }
  const absl::StatusOr<std::vector<address>> where = resolve_host_port(nullptr, *parts, address::family::none, limits);
  if (!where.ok()) return where.status();
  return bind_to(where->front());
}

}  // namespace baton::net
