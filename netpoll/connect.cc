// A non-blocking connect:
//   1. connect(2): usually EINPROGRESS.
//   2. Register with epoll. Not earlier: a socket that is not connecting yet counts as hung up, and would be marked so.
//   3. Until getpeername(2) succeeds: wait for a write edge, and fetch SO_ERROR. Edges may be spurious, and SO_ERROR is
//      0 while the attempt is still under way. Only a socket that has a peer is connected.
//   4. Take the deadline and the context off. They belonged to the attempt.
//
// TCP lets a socket connect to itself if the kernel picks, as the local port, the very port that is dialled
// (simultaneous open). No socket listens there, so that counts as a refusal as soon as both ends have the same address.
// The check uses the kernel's addresses, because a dial of 0.0.0.0 reaches 127.0.0.1. A self-connection, and
// EADDRNOTAVAIL from connect(2) (the kernel lost a race for a port), are bad luck. Another socket may have better luck.
#include <baton/netpoll/connect.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/sched/platform/clock.h>
#include <baton/syscall/owned_fd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <algorithm>
#include <cerrno>
#include <utility>

namespace baton::net {

absl::Status connect_attempt::failed(long answer) {
  return errno_status(static_cast<int>(-answer), "dial", to_.to_string());
}

absl::Status connect_attempt::begin() {
  if (absl::Status s = options_.limits.check("dial " + to_.to_string()); !s.ok()) return s;
  const long number = calls::open_socket(to_.kind() == address::family::ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM);
  if (number < 0) return failed(number);
  sys::owned_fd fd(static_cast<int>(number));
  long r = calls::set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (r < 0) return failed(r);
  if (options_.control != nullptr) {
    if (absl::Status s = options_.control(fd.get()); !s.ok()) return s;
  }
  if (options_.local.is_ip()) {
    // The port is chosen at connect(2), where it has to differ only from those that lead to the same peer. Kernels that
    // do not know the option choose it here.
    if (options_.local.port() == 0) (void)calls::set_option(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    r = calls::bind(fd.get(), options_.local);
    if (r < 0) return errno_status(static_cast<int>(-r), "bind", options_.local.to_string());
  }
  r = calls::connect(fd.get(), to_);
  if (r < 0 && r != -EINPROGRESS && r != -EINTR) {
    may_be_retried_ = r == -EADDRNOTAVAIL && options_.local.port() == 0;
    return failed(r);
  }
  state_ = std::make_unique<tcp_state>();
  state_->remote = to_;
  descriptor& io = state_->io;
  if (const int error = io.attach(fd.release(), descriptor::edges::tcp); error != 0) return failed(-error);
  if (options_.limits.context != nullptr) io.set_cancellation(options_.limits.context);
  return absl::OkStatus();
}

void connect_attempt::set_deadline(std::int64_t deadline_ns) { state_->io.set_deadline(poll_side::write, deadline_ns); }

absl::Status connect_attempt::finish() {
  descriptor& io = state_->io;
  const auto step = [this](int fd, io_result& so_far) {
    int error = 0;
    const long asked = calls::get_option(fd, SOL_SOCKET, SO_ERROR, error);
    so_far.error = asked < 0 ? static_cast<int>(-asked) : error;
    if (so_far.error != 0) return io_step::done;
    const long answer = calls::remote_address(fd, state_->remote);
    if (answer == -ENOTCONN) return io_step::again;
    so_far.error = answer < 0 ? static_cast<int>(-answer) : 0;
    return io_step::done;
  };
  const io_result result = io.transfer(poll_side::write, sched::wait_reason::connect, step, [](const io_result&) {});
  if (!result.ok()) return io.status_of(result, "dial", to_.to_string());
  if (options_.limits.context != nullptr) io.set_cancellation(nullptr);
  io.set_deadline(poll_side::write, sched::platform::forever_ns);
  (void)io.with_fd([this](int fd) { return calls::local_address(fd, state_->local); });
  if (state_->local == state_->remote) {
    may_be_retried_ = options_.local.port() == 0;
    return failed(-ECONNREFUSED);
  }
  return absl::OkStatus();
}

tcp_stream connect_attempt::take() {
  if (const int seconds = calls::whole_seconds(options_.keep_alive_ns); seconds > 0) {
    (void)state_->io.with_fd([seconds](int fd) { return calls::set_keep_alive(fd, seconds); });
  }
  return tcp_stream(std::move(state_));
}

void connect_attempt::close() noexcept {
  if (state_ != nullptr) state_->io.close();
}

}  // namespace baton::net
