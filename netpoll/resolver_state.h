// What a resolver owns. Internal to netpoll.
#pragma once

#include <baton/netpoll/dns_channel.h>
#include <baton/netpoll/lookup.h>
#include <baton/netpoll/name_rules.h>
#include <baton/netpoll/resolver.h>
#include <baton/sched/platform/lock.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace baton::net {

class resolver_state final : public dns_owner {
 public:
  // Requires: the options have been checked.
  explicit resolver_state(resolver_options options);
  resolver_state(const resolver_state&) = delete;
  resolver_state& operator=(const resolver_state&) = delete;

  // The resolver of the process. It is never destroyed. May throw std::bad_alloc.
  [[nodiscard]] static resolver_state& of_process();

  // Switch. Look up the addresses of a host, which is a name or a number; and the names of an address.
  absl::StatusOr<std::vector<address>> addresses_of(const std::string& host, address::family family, int port,
                                                    const wait_limits& limits);
  absl::StatusOr<std::vector<std::string>> names_of(const address& ip, const wait_limits& limits);

  // Switches. Returns false if this thread called exit() and a driver is left that never ends. Then this must not be
  // destroyed.
  bool close() noexcept;
  // Call this after close() returned false.
  void leave_at_exit(const std::shared_ptr<resolver_state>& self) noexcept;

 private:
  [[nodiscard]] lookup_result look_up(lookup_name name, const wait_limits& limits);
  [[nodiscard]] std::shared_ptr<const name_rules> rules();
  [[nodiscard]] found_names in_files(const name_rules& rules, const lookup_name& name) const;
  [[nodiscard]] lookup_result ask_servers(const name_rules& rules, lookup_name name, const wait_limits& limits);
  [[nodiscard]] absl::StatusOr<std::shared_ptr<dns_channel>> open_channel(const name_rules& rules);
  [[nodiscard]] absl::StatusOr<std::shared_ptr<dns_channel>> channel_for(const name_rules& rules);
  void give_up(dns_lookup& l, sched::waiter& w) noexcept;

  const resolver_options options_;

  sched::platform::spin_lock rules_lock_;
  std::shared_ptr<const name_rules> rules_ ABSL_GUARDED_BY(rules_lock_);
  std::int64_t read_again_ns_ ABSL_GUARDED_BY(rules_lock_) = 0;
  bool is_reading_ ABSL_GUARDED_BY(rules_lock_) = false;
  rules_reader reader_;  // used by the agent that has set is_reading_

  std::shared_ptr<dns_channel> current_ ABSL_GUARDED_BY(table.lock);
  bool closed_ ABSL_GUARDED_BY(table.lock) = false;
  std::shared_ptr<resolver_state> left_;  // itself: it is never destroyed
};

// For the rest of netpoll.
struct resolver_access {
  // Null if it is not open.
  [[nodiscard]] static const std::shared_ptr<resolver_state>& state(const resolver& r) noexcept { return r.state_; }
};

}  // namespace baton::net
