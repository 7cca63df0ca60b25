// Look-ups of names by the C library, off the caller's thread. Internal to netpoll; resolve.h is for users.
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

// What ends the wait of a caller.
struct wait_limits {
  std::int64_t deadline_ns = sched::platform::forever_ns;
  std::shared_ptr<cancellation> context;  // may be null

  // OK, or why nothing shall begin any more: the context's error or DEADLINE_EXCEEDED, with "what: " before it.
  [[nodiscard]] absl::Status check(const std::string& what) const;
};

// What is looked up: the addresses of a host, which has passed check_host_name(); or, if it is empty, the port
// of a service, which has passed check_service_name().
struct lookup_name {
  std::string host;
  std::string service;
  address::family family = address::family::none;  // ipv4 or ipv6 only; none: both

  friend bool operator==(const lookup_name& a, const lookup_name& b) noexcept {
    return a.host == b.host && a.service == b.service && a.family == b.family;
  }
};

// (S) At least one IP address, each once, in the order in which they should be tried. Parks the caller; when a
// limit ends its wait, the look-up itself goes on without it. Any number of look-ups may be waited for, but the
// threads that make them are few, and those who ask for the same at the same time share one look-up.
absl::StatusOr<std::vector<address>> look_up(lookup_name name, const wait_limits& limits);

}  // namespace baton::net
