#include <baton/netpoll/unix_listener.h>

#include <baton/netpoll/acceptance.h>
#include <baton/netpoll/adopt_socket.h>
#include <baton/netpoll/descriptor_owner_members.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/unix_state.h>
#include <baton/syscall/owned_fd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <utility>

namespace baton::net {

template class descriptor_owner<unix_listener_state>;

namespace {

using made_state = absl::StatusOr<std::unique_ptr<unix_listener_state>>;

template <class Peer>
struct state_of;
template <>
struct state_of<unix_stream> {
  using type = unix_stream_state;
};
template <>
struct state_of<unix_seqpacket> {
  using type = unix_seqpacket_state;
};

// Switches.
made_state bound(const std::string& path, int type, const unix_options& options) try {
  const absl::StatusOr<address> where = address::from_path(path);
  if (!where.ok()) return where.status();
  if (!options.local.empty()) {
    return absl::InvalidArgumentError(describe("listen", path, "unix_options::local is for unix_datagram::connect()"));
  }
  const long number = calls::open_socket(AF_UNIX, type);
  if (number < 0) return errno_status(static_cast<int>(-number), "listen", path);
  sys::owned_fd fd(static_cast<int>(number));
  auto s = std::make_unique<unix_listener_state>();  // removes the file before fd is closed
  int error = s->file.bind(fd.get(), *where, options);
  if (error == 0) error = static_cast<int>(-std::min(calls::listen(fd.get(), std::max(options.backlog, 1)), 0L));
  if (error == 0) error = static_cast<int>(-std::min(calls::local_address(fd.get(), s->local), 0L));
  if (error == 0) error = s->io.attach(fd);
  if (error != 0) return errno_status(error, "listen", path);
  return s;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "listen", unix_listener_state::kind);
}

made_state adopted(int fd, int type) try {
  auto s = std::make_unique<unix_listener_state>();
  address remote;
  const socket_kind wanted{socket_kind::family::local, type, true};
  if (const int error = adopt_socket(fd, wanted, s->io, s->local, remote)) {
    return errno_status(error, "adopt", unix_listener_state::kind);
  }
  return s;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "adopt", unix_listener_state::kind);
}

}  // namespace

template <class Peer>
absl::StatusOr<basic_unix_listener<Peer>> basic_unix_listener<Peer>::bind(const std::string& path,
                                                                          unix_options options) {
  made_state s = bound(path, state_of<Peer>::type::type, options);
  if (!s.ok()) return s.status();
  return basic_unix_listener(*std::move(s));
}

template <class Peer>
absl::StatusOr<basic_unix_listener<Peer>> basic_unix_listener<Peer>::adopt(int fd) {
  made_state s = adopted(fd, state_of<Peer>::type::type);
  if (!s.ok()) return s.status();
  return basic_unix_listener(*std::move(s));
}

template <class Peer>
absl::StatusOr<Peer> basic_unix_listener<Peer>::accept() {
  if (state_ == nullptr) return not_open("accept", unix_listener_state::kind);
  descriptor& io = state_->io;
  auto made = std::make_unique<typename state_of<Peer>::type>();
  made->local = state_->local;  // now: the listener may be gone afterwards
  absl::Status error;
  acceptance next(*state_, {made->io, made->local, made->remote, descriptor::edges::local});
  const io_result r = io.transfer(poll_side::read, sched::wait_reason::accept, next, [&](const io_result& bad) {
    next.leave_connection();
    error = io.status_of(bad, "accept", state_->name());
  });
  if (!r.ok()) return error;
  return Peer(std::move(made));
}

template <class Peer>
address basic_unix_listener<Peer>::local_address() const {
  return state_ == nullptr ? address{} : state_->local;
}

template class basic_unix_listener<unix_stream>;
template class basic_unix_listener<unix_seqpacket>;

}  // namespace baton::net
