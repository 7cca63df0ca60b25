// Dialling: look up, then connect.
#include <baton/netpoll/dial.h>

#include <baton/netpoll/connect.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/resolve.h>
#include <baton/sched/platform/clock.h>

#include <utility>

namespace baton::net {

absl::StatusOr<tcp_stream> dial(const std::string& target, dial_options options) {
  connect_limits limits;
  limits.deadline_ns = options.timeout.deadline_ns();
  limits.context = options.ctx.get();
  address::family family = address::family::none;
  if (!options.local.empty()) {
    absl::StatusOr<address> local = address::parse(options.local);
    if (!local.ok()) return local.status();
    limits.local = *std::move(local);
    family = limits.local.kind();
  }
  if (limits.context != nullptr) {
    if (absl::Status reason = limits.context->error(); !reason.ok()) return reason;
  }
  absl::StatusOr<host_and_port> where = split_host_port(target);
  if (!where.ok()) return where.status();
  absl::StatusOr<std::vector<address>> addresses = resolve_host_port(*where, family);
  if (!addresses.ok()) return addresses.status();
  if (sched::platform::now_ns() >= limits.deadline_ns) {
    return absl::DeadlineExceededError(describe("dial", target, "deadline exceeded"));
  }
  return connect_in_order(*addresses, limits);
}

}  // namespace baton::net
