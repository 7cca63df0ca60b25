// One attempt to connect. Internal to netpoll; dial.h is for users.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/cancellation.h>
#include <baton/netpoll/tcp_stream.h>

#include <absl/status/statusor.h>
#include <cstdint>
#include <memory>
#include <vector>

namespace baton::net {

struct connect_limits {
  std::int64_t deadline_ns;
  std::shared_ptr<cancellation> context;  // may be null
  address local;                          // naming nothing: the kernel chooses
};

// (S) Connects to this address.
absl::StatusOr<tcp_stream> connect_to(const address& to, const connect_limits& limits);

// (S) Connects to one of these, at least one, in order; the error is the first one's.
absl::StatusOr<tcp_stream> connect_in_order(const std::vector<address>& to, const connect_limits& limits);

}  // namespace baton::net
