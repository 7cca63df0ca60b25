// Binding and accepting.
//
// An accepted socket inherits TCP_NODELAY from the listener, and has the listener's local address unless that is a
// wildcard. That saves two system calls per connection.
#include <baton/netpoll/tcp_listener.h>

#include <baton/netpoll/lookup.h>
#include <baton/netpoll/resolve.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/sched/platform/clock.h>
#include <baton/syscall/files.h>
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

// Pauses of accept() while descriptors or memory are short, as in Go's net/http.
constexpr std::int64_t pause_first_ns = 5'000'000;
constexpr std::int64_t pause_max_ns = 1'000'000'000;

// After this many connections have failed one after the other, accept() pauses. The cause is then another one (a filter
// of system calls, perhaps), and without a pause it would keep a CPU busy.
constexpr int failures_at_once = 16;

// Any number of accepts may count at once, but they count only when something fails.
sched::platform::atomic<std::uint64_t> dropped{0};
sched::platform::atomic<std::uint64_t> put_off{0};

// The meaning of a failed accept4(). See accept(2).
enum class cause : std::uint8_t {
  nobody_there,  // wait for an edge
  signal,        // try again
  connection,    // one connection failed before it could be accepted: the next one may be fine
  shortage,      // of descriptors or memory, or an unknown error: it may pass
  listener,      // the socket does not listen any more
};

cause cause_of(int error) noexcept {
  switch (error) {
    case EAGAIN: return cause::nobody_there;
    case EINTR: return cause::signal;
    case ECONNABORTED:
    case ECONNRESET:
    case EPERM:  // the firewall
    case EPROTO:
    case ETIMEDOUT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
    case ESOCKTNOSUPPORT: return cause::connection;
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENOTSOCK: return cause::listener;
    default: return cause::shortage;
  }
}

bool is_shortage(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == ENOSPC;
}

// One accept(), for the holder of the listener's read lock: its tries, and the connection in hand between them.
class acceptance {
 public:
  // Requires: made.local is the address that the listener is bound to.
  acceptance(listener_state& listener, tcp_state& made) noexcept
      : listener_(listener), made_(made), is_wildcard_(made.local.is_wildcard()) {}
  acceptance(const acceptance&) = delete;
  acceptance& operator=(const acceptance&) = delete;
  ~acceptance() { hang_up(); }

  // Ends the accept() without success, while it still holds the listener: the connection in hand is left to the next
  // accept().
  void leave_connection() noexcept {
    // release: pairs with the exchange in listener_state. The next accept() comes after the read lock.
    if (connection_) listener_.kept.store(connection_.release(), mo::release);
  }

  io_step operator()(int fd, io_result& result) {
    // relaxed: only the holder of the read lock changes it, until the listener is closed.
    if (listener_.kept.load(mo::relaxed) >= 0) [[unlikely]] {
      connection_.reset(listener_.kept.exchange(-1, mo::acquire));
      from_size_ = 0;
    }
    if (!connection_) {
      from_size_ = sizeof from_;
      const long n = calls::accept(fd, from_, from_size_);
      if (n < 0) return failed(static_cast<int>(-n), result);
      connection_.reset(static_cast<int>(n));
    }
    const int error = take_over();
    if (error == 0) return io_step::done;
    if (is_shortage(error)) return pause();  // the connection is kept meanwhile
    hang_up();
    return drop();
  }

 private:
  // A declared call, because a connection lingers if its listener does.
  void hang_up() noexcept {
    if (connection_) (void)sys::close(connection_.release());
  }

  // Makes a stream's state from the accepted connection. Returns 0 or an errno.
  int take_over() {
    if (from_size_ != 0) {
      made_.remote = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&from_), from_size_);
    } else if (const long r = calls::remote_address(connection_.get(), made_.remote); r < 0) {
      return static_cast<int>(-r);
    }
    if (is_wildcard_) {
      if (const long r = calls::local_address(connection_.get(), made_.local); r < 0) return static_cast<int>(-r);
    }
    return made_.io.attach(connection_, descriptor::short_reads::mean_empty);
  }

  io_step failed(int error, io_result& result) noexcept {
    switch (cause_of(error)) {
      case cause::nobody_there: failures_ = 0; return io_step::again;
      case cause::signal: return io_step::more;
      case cause::connection: return drop();
      case cause::shortage: return pause();
      case cause::listener: break;
    }
    result.error = error;
    return io_step::done;
  }

  io_step drop() noexcept {
    dropped.fetch_add(1, mo::relaxed);
    return ++failures_ < failures_at_once ? io_step::more : pause();
  }

  io_step pause() noexcept {
    put_off.fetch_add(1, mo::relaxed);
    listener_.io.pause(poll_side::read, detail::deadline_after_ns(pause_ns_));
    pause_ns_ = std::min(pause_ns_ * 2, pause_max_ns);
    return io_step::more;
  }

  listener_state& listener_;
  tcp_state& made_;
  const bool is_wildcard_;
  sys::owned_fd connection_;  // accepted, but not yet owned by made_
  sockaddr_storage from_{};
  socklen_t from_size_ = 0;  // 0: the connection was kept
  int failures_ = 0;
  std::int64_t pause_ns_ = pause_first_ns;
};

}  // namespace

tcp_listener::tcp_listener() noexcept = default;
tcp_listener::tcp_listener(std::unique_ptr<listener_state> s) noexcept : state_(s.release()) {}
tcp_listener::tcp_listener(tcp_listener&&) noexcept = default;
tcp_listener& tcp_listener::operator=(tcp_listener&&) noexcept = default;
tcp_listener::~tcp_listener() = default;
void tcp_listener::closer::operator()(listener_state* s) const noexcept { close_and_delete(s); }

absl::StatusOr<tcp_listener> tcp_listener::bind(const std::string& text, listen_options options) {
  absl::StatusOr<host_and_port> parts = split_host_port(text);
  if (!parts.ok()) return parts.status();
  if (parts->host.empty()) {
    const absl::StatusOr<int> port = resolve_port(parts->port, {});
    if (!port.ok()) return port.status();
    absl::StatusOr<tcp_listener> both = bind_to(*address::from_ip("::", *port), options);
    // A host without IPv6.
    const int error = errno_of(both.status());
    if (options.v6_only || (error != EAFNOSUPPORT && error != EADDRNOTAVAIL)) return both;
    return bind_to(*address::from_ip("0.0.0.0", *port), options);
  }
  absl::StatusOr<std::vector<address>> where = resolve_host_port(nullptr, *parts, address::family::none, {});
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
  made->local = state_->local;  // now: the listener may be gone afterwards
  absl::Status error;
  acceptance next(*state_, *made);
  const io_result r = io.transfer(poll_side::read, sched::wait_reason::accept, next, [&](const io_result& bad) {
    next.leave_connection();
    error = io.status_of(bad, "accept", state_->name());
  });
  if (!r.ok()) return error;
  return tcp_stream(std::move(made));
}

accept_counters read_accept_counters() noexcept { return {dropped.load(mo::relaxed), put_off.load(mo::relaxed)}; }

void tcp_listener::set_deadline_ns(std::int64_t deadline_ns) {
  if (state_ != nullptr) state_->io.set_deadline(poll_side::read, deadline_ns);
}

void tcp_listener::set_cancellation(const std::shared_ptr<cancellation>& c) {
  if (state_ != nullptr) state_->io.set_cancellation(c);
}

void tcp_listener::close() {
  if (state_ == nullptr) return;
  if (state_->io.close()) state_->hang_up_kept();
}

address tcp_listener::local_address() const { return state_ == nullptr ? address{} : state_->local; }
int tcp_listener::native_handle() const noexcept { return state_ == nullptr ? -1 : state_->io.native_handle(); }

}  // namespace baton::net
