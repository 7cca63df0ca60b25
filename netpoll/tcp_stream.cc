// The options of a TCP connection. Reads and writes are in byte_stream_members.h.
#include <baton/netpoll/tcp_stream.h>

#include <baton/netpoll/adopt_socket.h>
#include <baton/netpoll/byte_stream_members.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/socket_options.h>
#include <baton/netpoll/stream_access.h>
#include <baton/netpoll/tcp_state.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <utility>

namespace baton::net {

template class descriptor_owner<tcp_state>;
template class two_sided_owner<tcp_state>;
template class byte_stream<tcp_state>;

descriptor* stream_access::io(const tcp_stream& s) noexcept { return s.state_ == nullptr ? nullptr : &s.state_->io; }
std::string stream_access::name(const tcp_stream& s) { return s.state_->name(); }

tcp_stream::tcp_stream(std::unique_ptr<tcp_state> state) noexcept : byte_stream(std::move(state)) {}

absl::StatusOr<tcp_stream> tcp_stream::adopt(int fd) try {
  auto s = std::make_unique<tcp_state>();
  const socket_kind wanted{socket_kind::family::ip, SOCK_STREAM, false};
  // A short read may leave data in such a socket: the kernel's TLS, if the caller set it up, reads record by record.
  if (const int error = adopt_socket(fd, wanted, s->io, s->local, s->remote)) {
    return errno_status(error, "adopt", tcp_state::kind);
  }
  return tcp_stream(std::move(s));
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "adopt", tcp_state::kind);
}

absl::Status tcp_stream::set_no_delay(bool on) {
  if (state_ == nullptr) return not_open("set no delay", tcp_state::kind);
  return option_status(
      *state_, state_->io.with_fd([on](int fd) { return calls::set_option(fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }),
      "set no delay");
}

absl::Status tcp_stream::set_keep_alive_ns(std::int64_t every_ns) {
  if (state_ == nullptr) return not_open("set keep alive", tcp_state::kind);
  const int seconds = calls::whole_seconds(every_ns);
  return option_status(*state_, state_->io.with_fd([seconds](int fd) { return calls::set_keep_alive(fd, seconds); }),
                       "set keep alive");
}

absl::Status tcp_stream::set_linger_ns(std::int64_t at_most_ns) {
  if (state_ == nullptr) return not_open("set linger", tcp_state::kind);
  const ::linger how{at_most_ns < 0 ? 0 : 1, calls::whole_seconds(at_most_ns)};
  return option_status(*state_, state_->io.with_fd([&how](int fd) {
    return calls::set_option(fd, SOL_SOCKET, SO_LINGER, &how, sizeof how);
  }),
                       "set linger");
}

}  // namespace baton::net
