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

  // For the makers of streams (tcp_listener, dial).
  explicit tcp_stream(std::unique_ptr<tcp_state> state) noexcept;

 private:
  absl::Status set_keep_alive_ns(std::int64_t every_ns);
};

}  // namespace baton::net
