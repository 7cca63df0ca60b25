// Look-ups of names by the C library, off the caller's thread. Internal to netpoll; users include resolve.h.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/cancellation.h>
#include <baton/sched/platform/clock.h>

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace baton::net {

// What ends a caller's wait.
struct wait_limits {
  std::int64_t deadline_ns = sched::platform::forever_ns;
  std::shared_ptr<cancellation> context;  // may be null

  // Returns OK, or why nothing may begin any more: the context's error or DEADLINE_EXCEEDED, prefixed with "what: ".
  [[nodiscard]] absl::Status check(const std::string& what) const;
};

// What is looked up: the addresses of a host, which has passed check_host_name(). If the host is empty: the port of a
// service, which has passed check_service_name().
struct lookup_name {
  std::string host;
  std::string service;
  address::family family = address::family::none;  // ipv4 or ipv6 only; none: both

  friend bool operator==(const lookup_name& a, const lookup_name& b) noexcept {
    return a.host == b.host && a.service == b.service && a.family == b.family;
  }
};

// Switches. Returns at least one IP address, each once, in the order in which they should be tried. Parks the caller.
// If a limit ends its wait, the look-up goes on without it. Any number of look-ups may be waited for, but only a few
// threads make them, and callers that ask for the same at the same time share one look-up.
absl::StatusOr<std::vector<address>> look_up(lookup_name name, const wait_limits& limits);

}  // namespace baton::net
