// Descriptors go as control data (SCM_RIGHTS) of sendmsg, and come as control data of recvmsg.
//
// Whatever recvmsg has opened for the process is in the control data, also if that was cut (MSG_CTRUNC). So each
// message is read to its end, and what does not reach the caller is closed. The room is for more than the kernel sends
// at once (SCM_MAX_FD), so a cut means that the process could not have more descriptors. An adopted socket may have
// options that add other control data, some of it with a descriptor (SO_PASSPIDFD).
#include <baton/netpoll/unix_message_io.h>

#include <baton/netpoll/datagram_io.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/socket_options.h>

#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace baton::net {

namespace {

constexpr std::size_t fds_max = 253;  // SCM_MAX_FD

// Since Linux 6.5; no libc header has it.
constexpr int scm_pidfd = 4;

struct control_data {
  // For descriptors, and 256 bytes for what options may add.
  alignas(cmsghdr) char bytes[CMSG_SPACE(fds_max * sizeof(int)) + 256];
};

absl::Status invalid(const unix_end& e, const char* operation, const char* why) {
  return absl::InvalidArgumentError(describe(operation, e.name(e.state), why));
}

// Takes the descriptors out of a received message, and closes those for which there is no room.
class fd_taker {
 public:
  explicit fd_taker(std::span<sys::owned_fd> into) noexcept : into_(into) {}

  void take(msghdr& m, unix_message& got) noexcept {
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
      if (c->cmsg_level != SOL_SOCKET || (c->cmsg_type != SCM_RIGHTS && c->cmsg_type != scm_pidfd)) continue;
      const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(c) + i * sizeof(int), sizeof number);
        sys::owned_fd fd(number);
        if (c->cmsg_type != SCM_RIGHTS) continue;
        if (got.fds < into_.size()) {
          into_[got.fds++] = std::move(fd);
        } else {
          got.fds_lost = true;
        }
      }
    }
    if ((m.msg_flags & MSG_CTRUNC) != 0) got.fds_lost = true;
  }

 private:
  const std::span<sys::owned_fd> into_;
};

// Makes the control data for descriptors.
void attach_fds(msghdr& m, control_data& control, std::span<const int> fds) noexcept {
  if (fds.empty()) return;
  m.msg_control = control.bytes;
  m.msg_controllen = CMSG_SPACE(fds.size_bytes());
  std::memset(control.bytes, 0, m.msg_controllen);
  cmsghdr* const c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
}

}  // namespace

absl::Status send_with_fds(const unix_end& e, std::span<const int> fds, const_bytes data) {
  constexpr const char* operation = "send descriptors";
  // A stream carries descriptors only with a byte; an empty packet looks like the end.
  if (data.empty() && e.type != SOCK_DGRAM) return invalid(e, operation, "no data goes with them");
  if (fds.size() > fds_max) return errno_status(EINVAL, operation, e.name(e.state));
  control_data control;
  absl::Status error;
  (void)e.state.io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&](int fd, io_result& so_far) {
        const const_bytes rest = data.drop(so_far.count);
        iovec vector = as_iovec(rest.first(std::min(rest.size(), call_max)));
        msghdr m{};
        m.msg_iov = &vector;
        m.msg_iovlen = 1;
        if (so_far.count == 0) attach_fds(m, control, fds);
        const long n = calls::send_message(fd, m);
        if (n < 0) {
          io_result failed;
          const io_step step = datagram_step(failed, n);
          so_far.error = failed.error;
          return step;
        }
        so_far.count += static_cast<std::size_t>(n);
        return so_far.count == data.size() ? io_step::done : io_step::more;
      },
      [&](const io_result& bad) {
        error = with_written(e.state.io.status_of(bad, operation, e.name(e.state)), bad.count);
      });
  return error;
}

absl::StatusOr<unix_message> receive_with_fds(const unix_end& e, bytes buffer, std::span<sys::owned_fd> fds,
                                              const char* operation) {
  if (buffer.empty() && e.type == SOCK_STREAM) return invalid(e, operation, "no room for data");
  control_data control;
  unix_message got;
  absl::Status error;
  const std::size_t room = std::min(buffer.size(), call_max);
  const io_result r = e.state.io.transfer(
      poll_side::read, sched::wait_reason::descriptor_read,
      [&](int fd, io_result& so_far) {
        iovec vector = as_iovec(buffer.first(room));
        msghdr m{};
        m.msg_iov = &vector;
        m.msg_iovlen = 1;
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        const long n = calls::receive_message(fd, m);
        if (n >= 0) {
          fd_taker(fds).take(m, got);
          got.truncated = (m.msg_flags & MSG_TRUNC) != 0;
        }
        return datagram_step(so_far, n);
      },
      [&](const io_result& bad) { error = e.state.io.status_of(bad, operation, e.name(e.state)); });
  if (!r.ok()) return error;
  got.size = r.count;
  return got;
}

absl::StatusOr<sys::owned_fd> receive_one_fd(const unix_end& e) {
  constexpr const char* operation = "receive descriptor";
  char byte[1];
  sys::owned_fd fd;
  const absl::StatusOr<unix_message> got = receive_with_fds(e, byte, {&fd, 1}, operation);
  if (!got.ok()) return got.status();
  if (got->fds == 1 && !got->fds_lost) return fd;
  if (got->fds == 1) {
    return absl::FailedPreconditionError(describe(operation, e.name(e.state), "several came at once, and are closed"));
  }
  if (got->fds_lost) return errno_status(EMFILE, operation, e.name(e.state));
  if (got->size == 0 && e.type != SOCK_DGRAM) {
    return absl::OutOfRangeError(describe(operation, e.name(e.state), "the end of the connection"));
  }
  return absl::FailedPreconditionError(describe(operation, e.name(e.state), "data came without a descriptor"));
}

absl::StatusOr<peer_credentials> credentials_of(const unix_end& e) {
  constexpr const char* operation = "ask for credentials";
  ucred found{};
  const long answer = e.state.io.with_fd([&](int fd) {
    socklen_t size = sizeof found;
    return calls::answer(sys::raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &found, &size));
  });
  if (answer == -EBADF) {
    io_result r;
    r.failure = poll_failure::closed;
    return e.state.io.status_of(r, operation, e.name(e.state));
  }
  if (answer < 0) return errno_status(static_cast<int>(-answer), operation, e.name(e.state));
  if (found.pid == 0 && found.uid == static_cast<uid_t>(-1)) {
    return absl::FailedPreconditionError(describe(operation, e.name(e.state), "not connected"));
  }
  return peer_credentials{found.pid, found.uid, found.gid};
}

}  // namespace baton::net
