// Binding and accepting.
//
// An accepted socket inherits TCP_NODELAY from the listener, and has the listener's local address
// unless that is a wildcard: two system calls less per connection.
#include <baton/netpoll/tcp_listener.h>

#include <baton/netpoll/lookup.h>
#include <baton/netpoll/resolve.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/sched/platform/clock.h>
#include <baton/syscall/owned_fd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

namespace baton::net {

namespace {

constexpr std::string_view kind = "tcp listener";

// Pauses of accept() while descriptors or memory are short: as Go's net/http has them.
constexpr std::int64_t pause_first_ns = 5'000'000;
constexpr std::int64_t pause_max_ns = 1'000'000'000;

bool is_shortage(long answer) noexcept {
  return answer == -EMFILE || answer == -ENFILE || answer == -ENOBUFS || answer == -ENOMEM;
}

// What befell the connection before it could be accepted: the next one may be fine. See accept(2).
bool concerns_one_connection(long answer) noexcept {
  switch (-answer) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH: return true;
    default: return false;
  }
}

}  // namespace

tcp_listener::tcp_listener() noexcept = default;
tcp_listener::tcp_listener(std::unique_ptr<listener_state> s) noexcept : state_(std::move(s)) {}
tcp_listener::tcp_listener(tcp_listener&&) noexcept = default;
tcp_listener& tcp_listener::operator=(tcp_listener&&) noexcept = default;
tcp_listener::~tcp_listener() = default;

absl::StatusOr<tcp_listener> tcp_listener::bind(const std::string& text, listen_options options) {
  absl::StatusOr<host_and_port> parts = split_host_port(text);
  if (!parts.ok()) return parts.status();
  if (parts->host.empty()) {
    const absl::StatusOr<int> port = resolve_port(parts->port, {});
    if (!port.ok()) return port.status();
    absl::StatusOr<tcp_listener> both = bind_to(*address::from_ip("::", *port), options);
    // A host without IPv6.
    const int error = errno_of(both.status());
    if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL) return both;
    return bind_to(*address::from_ip("0.0.0.0", *port), options);
  }
  absl::StatusOr<std::vector<address>> where = resolve_host_port(*parts, address::family::none, {});
  if (!where.ok()) return where.status();
  return bind_to(where->front(), options);
}

absl::StatusOr<tcp_listener> tcp_listener::bind_to(const address& where, const listen_options& options) {
  const auto failed = [&where](long answer) {
    return errno_status(static_cast<int>(-answer), "listen", where.to_string());
  };
  const int family = where.kind() == address::family::ipv6 ? AF_INET6 : AF_INET;
  const long number = calls::open_socket(family, SOCK_STREAM);
  if (number < 0) return failed(number);
  sys::owned_fd fd(static_cast<int>(number));

  long r = calls::set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (r >= 0 && options.reuse_port) r = calls::set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (r >= 0 && family == AF_INET6) r = calls::set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0);
  if (r >= 0) r = calls::set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (r >= 0) r = calls::bind(fd.get(), where);
  if (r >= 0) r = calls::listen(fd.get(), std::max(options.backlog, 1));
  auto made = std::make_unique<listener_state>();
  if (r >= 0) r = calls::local_address(fd.get(), made->local);
  if (r < 0) return failed(r);
  if (const int error = made->io.attach(fd.release()); error != 0) return failed(-error);
  return tcp_listener(std::move(made));
}

absl::StatusOr<tcp_stream> tcp_listener::accept() {
  if (state_ == nullptr) return not_open("accept", kind);
  descriptor& io = state_->io;
  auto made = std::make_unique<tcp_state>();
  made->local = state_->local;  // now: afterwards the listener may be gone
  std::int64_t pause_ns = pause_first_ns;
  absl::Status error;
  const auto step = [&](int fd, io_result& result) {
    sockaddr_storage from;
    socklen_t size = sizeof from;
    const long n = calls::accept(fd, from, size);
    if (n >= 0) {
      made->remote = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&from), size);
      result.count = static_cast<std::size_t>(n);
      return io_step::done;
    }
    if (n == -EAGAIN) return io_step::again;
    if (concerns_one_connection(n)) return io_step::more;
    if (is_shortage(n)) {
      io.pause(poll_side::read, detail::deadline_after_ns(pause_ns));
      pause_ns = std::min(pause_ns * 2, pause_max_ns);
      return io_step::more;
    }
    result.error = static_cast<int>(-n);
    return io_step::done;
  };
  const io_result r = io.transfer(poll_side::read, sched::wait_reason::accept, step,
                                  [&](const io_result& bad) { error = io.status_of(bad, "accept", state_->name()); });
  if (!r.ok()) return error;

  const int fd = static_cast<int>(r.count);
  if (made->local.is_wildcard()) (void)calls::local_address(fd, made->local);
  if (const int no_room = made->io.attach(fd, descriptor::short_reads::mean_empty); no_room != 0) {
    return errno_status(no_room, "accept", made->name());
  }
  return tcp_stream(std::move(made));
}

void tcp_listener::set_deadline_ns(std::int64_t deadline_ns) {
  if (state_ != nullptr) state_->io.set_deadline(poll_side::read, deadline_ns);
}

void tcp_listener::set_cancellation(std::shared_ptr<cancellation> c) {
  if (state_ != nullptr) state_->io.set_cancellation(std::move(c));
}

void tcp_listener::close() {
  if (state_ != nullptr) state_->io.close();
}

address tcp_listener::local_address() const { return state_ == nullptr ? address{} : state_->local; }
int tcp_listener::native_handle() const noexcept { return state_ == nullptr ? -1 : state_->io.native_handle(); }

}  // namespace baton::net
