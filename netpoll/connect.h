// Attempts to connect. Internal to netpoll; users include dial.h.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/lookup.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/netpoll/tcp_stream.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace baton::net {

struct connect_options {
  wait_limits limits;
  address local;                   // naming nothing: the kernel chooses
  std::int64_t keep_alive_ns = 0;  // 0: no probes
  std::int64_t head_start_ns = 0;  // of an address, before the next one is tried at the same time; forever_ns: never
  std::function<absl::Status(int fd)> control;  // may be null
};

// One socket on its way to one address. It has one owner, except that close() may be called from anywhere.
class connect_attempt {
 public:
  connect_attempt(const address& to, const connect_options& options) : to_(to), options_(options) {}
  connect_attempt(const connect_attempt&) = delete;
  connect_attempt& operator=(const connect_attempt&) = delete;

  // Begins, and subscribes to the context. Called once; never switches.
  [[nodiscard]] absl::Status begin();
  // Sets the time at which finish() gives up. May throw std::bad_alloc.
  void set_deadline(std::int64_t deadline_ns);
  // Switches. Waits until the connection is made, and returns OK, or until it has failed, and returns why. May be
  // called again after DEADLINE_EXCEEDED if set_deadline() has moved the deadline.
  [[nodiscard]] absl::Status finish();
  // Returns true if trying again at once, with another socket, may help.
  [[nodiscard]] bool may_be_retried() const noexcept { return may_be_retried_; }
  // Requires: finish() returned OK. Called once.
  [[nodiscard]] tcp_stream take();
  // Switches. Ends a finish() elsewhere.
  void close() noexcept;

 private:
  [[nodiscard]] absl::Status failed(long answer);

  const address to_;
  const connect_options& options_;
  std::unique_ptr<tcp_state> state_;
  bool may_be_retried_ = false;
};

// Switches. Connects to one of these addresses. Requires: there is at least one. They are tried in order, and the
// families take turns. An address that has not answered within the head start is still tried while the next one begins.
// The error is that of the first address.
absl::StatusOr<tcp_stream> connect_to_any(const std::vector<address>& to, const connect_options& options);

}  // namespace baton::net
