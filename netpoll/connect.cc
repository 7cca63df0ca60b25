// A non-blocking connect:
//   1. connect(2): usually EINPROGRESS
//   2. register with epoll. Only now: a socket that is not connecting yet counts as hung up, and would
//      be marked so.
//   3. until getpeername(2) succeeds: wait for a write edge, and fetch SO_ERROR. Edges may be spurious,
//      and SO_ERROR is 0 while the attempt is still under way: connected is only who has a peer.
//   4. deadline and context belonged to the attempt: take them off
//
// TCP lets a socket connect to itself when the kernel picks, as the local port, the very port that is
// dialled (simultaneous open). Nobody listens there, so that is a refusal.
#include <baton/netpoll/connect.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/sched/platform/clock.h>
#include <baton/syscall/owned_fd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <algorithm>
#include <cerrno>
#include <utility>

namespace baton::net {

namespace {

// An address gets at least this much of the time left, while it lasts: a shorter attempt would fail on
// a slow but working path.
constexpr std::int64_t attempt_min_ns = 2'000'000'000;

// When, of `addresses` still to be tried, the first must be done.
std::int64_t share_of(std::int64_t deadline_ns, std::size_t addresses) noexcept {
  if (deadline_ns == sched::platform::forever_ns || addresses <= 1) return deadline_ns;
  const std::int64_t now = sched::platform::now_ns();
  const std::int64_t left = deadline_ns - now;
  const std::int64_t share = std::max(left / static_cast<std::int64_t>(addresses), attempt_min_ns);
  return share >= left ? deadline_ns : now + share;
}

}  // namespace

absl::StatusOr<tcp_stream> connect_to(const address& to, const connect_limits& limits) {
  const auto failed = [&to](long answer) { return errno_status(static_cast<int>(-answer), "dial", to.to_string()); };
  if (limits.context != nullptr) {
    if (absl::Status reason = limits.context->error(); !reason.ok()) return reason;
  }
  const long number = calls::open_socket(to.kind() == address::family::ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM);
  if (number < 0) return failed(number);
  sys::owned_fd fd(static_cast<int>(number));
  long r = calls::set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (r >= 0 && limits.local.is_ip()) r = calls::bind(fd.get(), limits.local);
  if (r >= 0) r = calls::connect(fd.get(), to);
  if (r < 0 && r != -EINPROGRESS && r != -EINTR) return failed(r);

  auto made = std::make_unique<tcp_state>();
  made->remote = to;
  descriptor& io = made->io;
  if (const int error = io.attach(fd.release(), descriptor::short_reads::mean_empty); error != 0) return failed(-error);
  if (limits.deadline_ns != sched::platform::forever_ns) io.set_deadline(poll_side::write, limits.deadline_ns);
  if (limits.context != nullptr) io.set_cancellation(limits.context);

  const auto step = [&](int number_now, io_result& so_far) {
    int error = 0;
    const long asked = calls::get_option(number_now, SOL_SOCKET, SO_ERROR, error);
    so_far.error = asked < 0 ? static_cast<int>(-asked) : error;
    if (so_far.error != 0) return io_step::done;
    address peer;
    const long answer = calls::remote_address(number_now, peer);
    if (answer == -ENOTCONN) return io_step::again;
    so_far.error = answer < 0 ? static_cast<int>(-answer) : 0;
    return io_step::done;
  };
  const io_result result = io.transfer(poll_side::write, sched::wait_reason::connect, step, [](const io_result&) {});
  if (!result.ok()) return io.status_of(result, "dial", to.to_string());

  if (limits.context != nullptr) io.set_cancellation(nullptr);
  if (limits.deadline_ns != sched::platform::forever_ns) io.set_deadline(poll_side::write, sched::platform::forever_ns);
  (void)io.with_fd([&](int number_now) { return calls::local_address(number_now, made->local); });
  if (made->local == to && !limits.local.is_ip()) return failed(-ECONNREFUSED);
  return tcp_stream(std::move(made));
}

absl::StatusOr<tcp_stream> connect_in_order(const std::vector<address>& to, const connect_limits& limits) {
  absl::StatusOr<tcp_stream> first = absl::InvalidArgumentError("dial: no address");
  for (std::size_t i = 0; i < to.size(); ++i) {
    connect_limits share = limits;
    share.deadline_ns = share_of(limits.deadline_ns, to.size() - i);
    absl::StatusOr<tcp_stream> made = connect_to(to[i], share);
    if (made.ok()) return made;
    if (i == 0) first = std::move(made);
    if (limits.context != nullptr && !limits.context->error().ok()) return limits.context->error();
    if (limits.deadline_ns != sched::platform::forever_ns && sched::platform::now_ns() >= limits.deadline_ns) break;
  }
  return first;
}

}  // namespace baton::net
