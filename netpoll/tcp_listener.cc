// Binding and accepting. An accepted socket inherits TCP_NODELAY from the listener, which saves a system call per
// connection.
#include <baton/netpoll/tcp_listener.h>

#include <baton/netpoll/acceptance.h>
#include <baton/netpoll/adopt_socket.h>
#include <baton/netpoll/bind_address.h>
#include <baton/netpoll/descriptor_owner_members.h>
#include <baton/netpoll/listener_state.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/syscall/owned_fd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

namespace baton::net {

namespace {

constexpr std::string_view kind = "tcp listener";

}  // namespace

template class descriptor_owner<listener_state>;

absl::StatusOr<tcp_listener> tcp_listener::bind(const std::string& text, listen_options options) {
  return bind_to_text(text, options.v6_only, {}, [&options](const address& to) { return bind_to(to, options); });
}

absl::StatusOr<tcp_listener> tcp_listener::bind_to(const address& where, const listen_options& options) {
  const auto failed = [&where](long answer) {
    return errno_status(static_cast<int>(-answer), "listen", where.to_string());
  };
  const std::int64_t every_ns = options.keep_alive.ns();
  const std::int64_t keep_alive_ns = every_ns == sched::platform::forever_ns ? 0 : every_ns;
  const int family = where.kind() == address::family::ipv6 ? AF_INET6 : AF_INET;
  const long number = calls::open_socket(family, SOCK_STREAM);
  if (number < 0) return failed(number);
  sys::owned_fd fd(static_cast<int>(number));

  long r = calls::set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (r >= 0 && options.reuse_port) r = calls::set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (r >= 0 && family == AF_INET6) r = calls::set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0);
  if (r >= 0) r = calls::set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (r >= 0) r = calls::set_keep_alive(fd.get(), calls::whole_seconds(keep_alive_ns));
  if (r >= 0 && options.defer_accept.count() > 0) {
    r = calls::set_option(fd.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, calls::whole_seconds(options.defer_accept.count()));
  }
  if (r >= 0 && options.fast_open > 0) r = calls::set_option(fd.get(), IPPROTO_TCP, TCP_FASTOPEN, options.fast_open);
  if (r < 0) return failed(r);
  if (options.control != nullptr) {
    if (absl::Status s = options.control(fd.get()); !s.ok()) return s;
  }
  r = calls::bind(fd.get(), where);
  if (r >= 0) r = calls::listen(fd.get(), std::max(options.backlog, 1));
  auto made = std::make_unique<listener_state>();
  if (r >= 0) r = calls::local_address(fd.get(), made->local);
  if (r < 0) return failed(r);
  if (const int error = made->io.attach(fd.release()); error != 0) return failed(-error);
  return tcp_listener(std::move(made));
}

absl::StatusOr<tcp_listener> tcp_listener::adopt(int fd) try {
  auto s = std::make_unique<listener_state>();
  address remote;
  const socket_kind wanted{socket_kind::family::ip, SOCK_STREAM, true};
  if (const int error = adopt_socket(fd, wanted, s->io, s->local, remote)) return errno_status(error, "adopt", kind);
  return tcp_listener(std::move(s));
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "adopt", kind);
}

absl::StatusOr<tcp_stream> tcp_listener::accept() {
  if (state_ == nullptr) return not_open("accept", kind);
  descriptor& io = state_->io;
  auto made = std::make_unique<tcp_state>();
  made->local = state_->local;  // now: the listener may be gone afterwards
  absl::Status error;
  acceptance next(*state_, {made->io, made->local, made->remote, descriptor::edges::tcp});
  const io_result r = io.transfer(poll_side::read, sched::wait_reason::accept, next, [&](const io_result& bad) {
    next.leave_connection();
    error = io.status_of(bad, "accept", state_->name());
  });
  if (!r.ok()) return error;
  return tcp_stream(std::move(made));
}

address tcp_listener::local_address() const { return state_ == nullptr ? address{} : state_->local; }

}  // namespace baton::net
