// Attempts to connect. Internal to netpoll; dial.h is for users.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/lookup.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/netpoll/tcp_stream.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstdint>
#include <memory>
#include <vector>

namespace baton::net {

struct connect_options {
  wait_limits limits;
  address local;                   // naming nothing: the kernel chooses
  std::int64_t keep_alive_ns = 0;  // 0: no probes
  std::int64_t head_start_ns = 0;  // of an address, before the next one is tried beside it; forever_ns: never
};

// One socket on its way to one address. For one owner; close() may come from anywhere.
class connect_attempt {
 public:
  connect_attempt(const address& to, const connect_options& options) : to_(to), options_(options) {}
  connect_attempt(const connect_attempt&) = delete;
  connect_attempt& operator=(const connect_attempt&) = delete;

  // Begins, and subscribes to the context. Once; never switches.
  [[nodiscard]] absl::Status begin();
  // When finish() is to give up. May throw std::bad_alloc.
  void set_deadline(std::int64_t deadline_ns);
  // (S) Waits until the connection is made, or why it is not. Again after DEADLINE_EXCEEDED, which
  // set_deadline() takes away.
  [[nodiscard]] absl::Status finish();
  // Whether trying again at once, with another socket, may help.
  [[nodiscard]] bool may_be_retried() const noexcept { return may_be_retried_; }
  // After an OK finish(), once.
  [[nodiscard]] tcp_stream take();
  // (S) Ends a finish() elsewhere.
  void close() noexcept;

 private:
  [[nodiscard]] absl::Status failed(long answer);

  const address to_;
  const connect_options& options_;
  std::unique_ptr<tcp_state> state_;
  bool may_be_retried_ = false;
};

// (S) Connects to one of these, at least one: in order, the families taking turns; an address that has not
// answered within the head start goes on being tried beside the next. The error is the first address's.
absl::StatusOr<tcp_stream> connect_to_any(const std::vector<address>& to, const connect_options& options);

}  // namespace baton::net
