// Look-ups of names that are under way, each name once, and the ends of a caller's wait for one. Internal to netpoll;
// users include resolver.h and resolve.h.
//
// Two kinds of server end look-ups: the channels to DNS servers (dns_channel.h) and the threads that call the C library
// (system_lookup.h). Each has a table. The protocol of the callers is the same:
//
//   ask      Make a look-up, or join the one of the same name. Prepare and join its waiters, all under the lock of the
//            table. Then hand it to its server, and park.
//   end      The server calls lookup_table::end(). That stores the result, takes the look-up out of the table, and
//            claims its waiters, all under the lock. It readies them after the lock.
//   give up  (Deadline, context.) Under the lock leave the waiters. What becomes of a look-up for which no caller waits
//            any more is up to its server.
//
// A look-up is owned by its waiters, by its server, and, through `self`, by the table. So a caller may leave at any
// time.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/cancellation.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace baton::net {

// What ends a caller's wait.
struct wait_limits {
  std::int64_t deadline_ns = sched::platform::forever_ns;
  std::shared_ptr<cancellation> context = {};  // may be null

  // Returns OK, or why nothing may begin any more: the context's error or DEADLINE_EXCEEDED, prefixed with "what: ".
  [[nodiscard]] absl::Status check(const std::string& what) const;
};

// What is looked up: the addresses of a host, which has passed check_host_name(); the port of a service, which has
// passed check_service_name(); or the names of an IP address. One of the three is set.
struct lookup_name {
  std::string host = {};
  address::family family = address::family::none;  // of the host: ipv4 or ipv6 only; none: both
  std::string service = {};
  address ip = {};  // with port 0

  // Returns "resolve x.example", the beginning of every message about it.
  [[nodiscard]] std::string what() const;

  friend bool operator==(const lookup_name& a, const lookup_name& b) noexcept {
    return a.host == b.host && a.service == b.service && a.family == b.family && a.ip == b.ip;
  }
};

// What was found: at least one of either kind, each once.
struct found_names {
  std::vector<address> addresses = {};  // with port 0, or with the service's port; in the order to try them
  std::vector<std::string> names = {};
};
using lookup_result = absl::StatusOr<found_names>;

// The error of a server that has no memory for an error with a text. await_end() adds the text.
[[nodiscard]] inline absl::Status no_memory() noexcept { return {absl::StatusCode::kResourceExhausted, ""}; }

struct lookup {
  explicit lookup(lookup_name wanted);
  virtual ~lookup() = default;
  lookup(const lookup&) = delete;
  lookup& operator=(const lookup&) = delete;

  const lookup_name name;
  const std::size_t hash;

  // Guarded by the lock of the table. The result is written once, before waiters are readied.
  std::shared_ptr<lookup> self;  // while it is in the table
  lookup* next_in_bucket = nullptr;
  sched::waiter_list waiters;
  std::optional<lookup_result> result;
};

class lookup_table {
 public:
  constexpr lookup_table() noexcept = default;
  lookup_table(const lookup_table&) = delete;
  lookup_table& operator=(const lookup_table&) = delete;

  sched::platform::spin_lock lock;

  [[nodiscard]] lookup* find(const lookup& like) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void insert(const std::shared_ptr<lookup>& l) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // Takes l out of the table, if it is in there. The table's share goes to the caller, which must not drop the last
  // share while it holds the lock.
  std::shared_ptr<lookup> take_out(lookup& l) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // For servers: stores the result, takes l out of the table, and adds its claimed waiters to `claimed`, for
  // ready_all().
  std::shared_ptr<lookup> end(lookup& l, lookup_result result, sched::waiter_list& claimed) noexcept
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

 private:
  static constexpr std::size_t buckets_count = 256;
  lookup* buckets_[buckets_count] ABSL_GUARDED_BY(lock) = {};
};

// Readies the agents of claimed waiters. Requires: the caller holds no lock.
void ready_all(sched::waiter_list& claimed) noexcept;

// Switches. Waits for the end of l, among whose waiters w is. give_up() is called if a limit ends the wait. It takes w
// off the waiters, under the lock of the table.
template <class GiveUp>
lookup_result await_end(const lookup& l, sched::waiter& w, const wait_limits& limits, GiveUp&& give_up);

// The two parts of await_end(). Waits, and returns the outcome.
std::uint32_t await_outcome(sched::waiter& w, const wait_limits& limits) noexcept;
// Returns the error of a wait that ended without a signal.
absl::Status wait_error(std::uint32_t outcome, const wait_limits& limits, const std::string& what);

template <class GiveUp>
lookup_result await_end(const lookup& l, sched::waiter& w, const wait_limits& limits, GiveUp&& give_up) {
  const std::uint32_t outcome = await_outcome(w, limits);
  if (outcome == sched::waiter::signalled) {
    if (l.result->ok() || !l.result->status().message().empty()) return *l.result;
    return absl::Status(l.result->status().code(), l.name.what() + ": no memory");
  }
  give_up();
  return wait_error(outcome, limits, l.name.what());
}

}  // namespace baton::net
