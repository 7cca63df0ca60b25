// A sender whose receiver has too many datagrams gets EAGAIN. If it is connected to that receiver, the kernel makes an
// edge when there is room. Otherwise it does not: the socket counts as writable all the time. Then the sender tries
// again after a pause.
#include <baton/netpoll/unix_datagram.h>

#include <baton/netpoll/datagram_io.h>
#include <baton/netpoll/unix_connection.h>
#include <baton/netpoll/unix_socket_members.h>
#include <baton/sched/durations.h>
#include <baton/syscall/sockets.h>

#include <algorithm>
#include <cstdint>

namespace baton::net {

template class descriptor_owner<unix_datagram_state>;
template class two_sided_owner<unix_datagram_state>;
template class unix_socket<two_sided_owner<unix_datagram_state>>;

namespace {

using made_state = absl::StatusOr<std::unique_ptr<unix_datagram_state>>;

constexpr std::int64_t pause_first_ns = 100'000;
constexpr std::int64_t pause_max_ns = 20'000'000;

// Switches. Makes a socket that is bound to `local` and connected to `remote`, each unless it is empty.
made_state make(const char* operation, const std::string& local, const std::string& remote,
                const unix_options& options) try {
  const std::string& object = remote.empty() ? local : remote;
  const absl::StatusOr<address> from = local.empty() ? address{} : address::from_path(local);
  if (!from.ok()) return from.status();
  absl::StatusOr<address> to = remote.empty() ? address{} : address::from_path(remote);
  if (!to.ok()) return to.status();
  const long number = calls::open_socket(AF_UNIX, SOCK_DGRAM);
  if (number < 0) return errno_status(static_cast<int>(-number), operation, object);
  sys::owned_fd fd(static_cast<int>(number));
  auto s = std::make_unique<unix_datagram_state>();  // removes the file before fd is closed
  if (!local.empty()) {
    if (const int error = s->file.bind(fd.get(), *from, options)) {
      return errno_status(error, "bind", local);
    }
    (void)calls::local_address(fd.get(), s->local);
  }
  int error = 0;
  if (!remote.empty()) {
    sockaddr_storage sa;
    const socklen_t size = to->to_sockaddr(sa);
    error = sys::connect(fd.get(), reinterpret_cast<const sockaddr*>(&sa), size).error();
    s->remote = *std::move(to);
  }
  if (error == 0) error = s->io.attach(fd);
  if (error != 0) return errno_status(error, operation, object);
  return s;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, operation, unix_datagram_state::kind);
}

}  // namespace

absl::StatusOr<unix_datagram> unix_datagram::bind(const std::string& path, unix_options options) {
  if (!options.local.empty()) {
    return absl::InvalidArgumentError(describe("bind", path, "unix_options::local is for connect()"));
  }
  if (path.empty()) return address::from_path(path).status();
  made_state s = make("bind", path, {}, options);
  if (!s.ok()) return s.status();
  return unix_datagram(*std::move(s));
}

absl::StatusOr<unix_datagram> unix_datagram::connect(const std::string& path, unix_options options) {
  if (path.empty()) return address::from_path(path).status();
  made_state s = make("connect", options.local, path, options);
  if (!s.ok()) return s.status();
  return unix_datagram(*std::move(s));
}

absl::StatusOr<std::pair<unix_datagram, unix_datagram>> unix_datagram::pair() {
  auto both = paired_states<unix_datagram_state>();
  if (!both.ok()) return both.status();
  return std::pair(unix_datagram(std::move(both->first)), unix_datagram(std::move(both->second)));
}

absl::StatusOr<unix_datagram> unix_datagram::adopt(int fd) {
  made_state s = adopted_state<unix_datagram_state>(fd);
  if (!s.ok()) return s.status();
  return unix_datagram(*std::move(s));
}

absl::StatusOr<std::size_t> unix_datagram::send_to(const_bytes data, const address& to) {
  if (state_ == nullptr) return not_open("send", unix_datagram_state::kind);
  unix_datagram_state& s = *state_;
  const auto object = [&s, &to] { return unix_name(s.local, to, unix_datagram_state::kind); };
  if (to.path().empty()) {
    return errno_status(to.is_ip() ? EAFNOSUPPORT : EDESTADDRREQ, "send", object());
  }
  std::int64_t pause_ns = pause_first_ns;
  absl::Status error;
  const io_result r = s.io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&](int fd, io_result& so_far) {
        const io_step step = datagram_step(so_far, calls::send_to(fd, data.data(), data.size(), to));
        if (step != io_step::again) return step;
        s.io.pause(poll_side::write, detail::deadline_after_ns(pause_ns));
        pause_ns = std::min(2 * pause_ns, pause_max_ns);
        return io_step::more;
      },
      [&](const io_result& bad) { error = s.io.status_of(bad, "send", object()); });
  if (r.ok()) return r.count;
  return error;
}

absl::StatusOr<std::size_t> unix_datagram::send(const_bytes data) {
  if (state_ == nullptr) return not_open("send", unix_datagram_state::kind);
  return send_datagram(
      *state_, [&](int fd) { return calls::send(fd, data.data(), data.size()); }, [&] { return state_->name(); });
}

absl::StatusOr<datagram> unix_datagram::receive_from(bytes buffer) {
  if (state_ == nullptr) return not_open("receive", unix_datagram_state::kind);
  return receive_datagram(*state_, buffer);
}

absl::StatusOr<std::size_t> unix_datagram::receive(bytes buffer) {
  if (state_ == nullptr) return not_open("receive", unix_datagram_state::kind);
  return receive_whole_datagram(*state_, buffer);
}

address unix_datagram::local_address() const { return state_ == nullptr ? address{} : state_->local; }
address unix_datagram::remote_address() const { return state_ == nullptr ? address{} : state_->remote; }

}  // namespace baton::net
