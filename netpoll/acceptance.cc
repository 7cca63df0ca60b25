// The tries of accept(): which errors end it, and which ones it waits out. See acceptance.h.
#include <baton/netpoll/acceptance.h>

#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/files.h>

#include <algorithm>
#include <cerrno>

namespace baton::net {

namespace {

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

}  // namespace

io_step acceptance::operator()(int fd, io_result& result) {
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

// A declared call, because a connection lingers if its listener does.
void acceptance::hang_up() noexcept {
  if (connection_) (void)sys::close(connection_.release());
}

// Makes a stream's state from the accepted connection. Returns 0 or an errno.
int acceptance::take_over() {
  if (from_size_ != 0) {
    made_.remote = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&from_), from_size_);
  } else if (const long r = calls::remote_address(connection_.get(), made_.remote); r < 0) {
    return static_cast<int>(-r);
  }
  if (is_wildcard_) {
    if (const long r = calls::local_address(connection_.get(), made_.local); r < 0) return static_cast<int>(-r);
  }
  return made_.io.attach(connection_, made_.reads);
}

io_step acceptance::failed(int error, io_result& result) noexcept {
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

io_step acceptance::drop() noexcept {
  dropped.fetch_add(1, mo::relaxed);
  return ++failures_ < failures_at_once ? io_step::more : pause();
}

io_step acceptance::pause() noexcept {
  put_off.fetch_add(1, mo::relaxed);
  listener_.io.pause(poll_side::read, detail::deadline_after_ns(pause_ns_));
  pause_ns_ = std::min(pause_ns_ * 2, pause_max_ns);
  return io_step::more;
}

accept_counters read_accept_counters() noexcept { return {dropped.load(mo::relaxed), put_off.load(mo::relaxed)}; }

}  // namespace baton::net
