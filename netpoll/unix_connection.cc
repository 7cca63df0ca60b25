// Unix sockets connect at once, except that a non-blocking connect(2) gives EAGAIN while the listener's backlog is
// full. Nothing tells when that changes, and a blocking one would hold a thread. So it is tried again after a pause.
#include <baton/netpoll/unix_connection.h>

#include <baton/netpoll/lookup.h>
#include <baton/netpoll/wake_on_cancel.h>
#include <baton/sched/durations.h>
#include <baton/sched/waiter.h>
#include <baton/syscall/sockets.h>

#include <algorithm>
#include <cstdint>

namespace baton::net {

namespace {

constexpr std::int64_t pause_first_ns = 500'000;
constexpr std::int64_t pause_max_ns = 50'000'000;

// Switches. Waits that long, or until a limit ends the wait.
void pause(const wait_limits& limits, std::int64_t ns) noexcept {
  sched::waiter w;
  w.prepare(sched::wait_reason::retry);
  wake_on_cancel watch(limits.context.get(), w);
  (void)w.wait(std::min(limits.deadline_ns, detail::deadline_after_ns(ns)));
  watch.end();
}

}  // namespace

absl::StatusOr<sys::owned_fd> connect_unix(const address& to, int type, const dial_options& options) {
  const std::string name = to.to_string();
  if (!options.local.empty()) {
    return absl::InvalidArgumentError(describe("dial", name, "dial_options::local is an IP address"));
  }
  const wait_limits limits{options.timeout.deadline_ns(), options.ctx.get()};
  const std::string what = "dial " + name;
  if (absl::Status s = limits.check(what); !s.ok()) return s;
  const long number = calls::open_socket(AF_UNIX, type);
  if (number < 0) return errno_status(static_cast<int>(-number), "dial", name);
  sys::owned_fd fd(static_cast<int>(number));
  sockaddr_storage sa;
  const socklen_t size = to.to_sockaddr(sa);
  for (std::int64_t wait_ns = pause_first_ns;; wait_ns = std::min(2 * wait_ns, pause_max_ns)) {
    const int error = sys::connect(fd.get(), reinterpret_cast<const sockaddr*>(&sa), size).error();
    if (error == 0) return fd;
    if (error != EAGAIN && error != EINTR) return errno_status(error, "dial", name);
    pause(limits, wait_ns);
    if (absl::Status s = limits.check(what); !s.ok()) return s;
  }
}

}  // namespace baton::net
