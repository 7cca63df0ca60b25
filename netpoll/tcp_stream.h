// Public API: a TCP connection.
//
// byte_stream.h has reading, writing, thread-safety and errors; descriptor_owner.h has deadlines, contexts and close().
#pragma once

#include <baton/netpoll/byte_stream.h>
#include <baton/sched/durations.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <chrono>
#include <cstdint>
#include <memory>

namespace baton::net {

struct tcp_state;
struct tls_state;

class tcp_stream : public byte_stream<tcp_state> {
 public:
  tcp_stream() noexcept = default;  // not open

  // Takes over a connected socket and sets O_NONBLOCK; its options stay as they are. After an error (EBADF, ENOTSOCK,
  // EPROTOTYPE: of another kind, EINVAL: it listens, ENOTCONN, ENOMEM …) it still belongs to the caller. Never
  // switches.
  [[nodiscard]] static absl::StatusOr<tcp_stream> adopt(int fd);

  // Nagle's algorithm. Streams begin with no_delay set.
  absl::Status set_no_delay(bool on);
  // Probes an idle connection this often (whole seconds, rounded up); zero or less: never.
  template <class Rep, class Period>
  absl::Status set_keep_alive(std::chrono::duration<Rep, Period> every) {
    return set_keep_alive_ns(detail::saturated_ns(every));
  }

  // SO_LINGER: close() waits until the peer's kernel has what was written, at most this long (whole seconds, rounded
  // up). Zero: close() throws away what has not been sent, and resets the connection. Less than zero: close() returns
  // at once, and the kernel goes on sending, as without a call of this.
  template <class Rep, class Period>
  absl::Status set_linger(std::chrono::duration<Rep, Period> at_most) {
    return set_linger_ns(detail::saturated_ns(at_most));
  }

  // For the makers of streams (tcp_listener, dial).
  explicit tcp_stream(std::unique_ptr<tcp_state> state) noexcept;

 private:
  friend struct tls_state;  // uses the descriptor
  absl::Status set_keep_alive_ns(std::int64_t every_ns);
  absl::Status set_linger_ns(std::int64_t at_most_ns);
};

}  // namespace baton::net
