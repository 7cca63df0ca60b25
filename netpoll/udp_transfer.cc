// Sends and receives datagrams: a single one by sendto and recvfrom, several by sendmmsg and recvmmsg. They wait in
// descriptor::transfer().
//
// UDP_SEGMENT. An element with segments is one message whose control data has the segment size; the kernel or the
// device cuts it. Whether the kernel knows that is asked once. Where it does not (before 4.18: it would ignore the size
// and send one large datagram), send_many() makes a message of each segment. It does so as well
//   for the rest of the socket's life, once a device cannot compute checksums (EIO);
//   for an element that the kernel refuses to cut (EINVAL, EMSGSIZE: a segment does not fit the path, or fragments).
//
// sendmmsg drops the error of a message that is not the first. So the message is sent again, as the first; then either
// it passes or the error is known. An element counts as sent when its last segment is.
#include <baton/netpoll/udp_socket.h>

#include <baton/netpoll/datagram_io.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/udp_state.h>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>

namespace baton::net {

namespace {

// Messages of one system call. The arrays are on the stack.
constexpr unsigned batch_max = 64;

// What the kernel cuts at most: UDP_MAX_SEGMENTS of older kernels, and what an IPv4 packet can carry.
constexpr std::size_t segments_max = 64;
constexpr std::size_t payload_max = 65507;

union ip_sockaddr {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

struct batch {
  mmsghdr headers[batch_max];
  iovec vectors[batch_max];
  ip_sockaddr names[batch_max];
  // A segment's size comes as an int, and goes as a uint16_t.
  alignas(cmsghdr) char control[batch_max][CMSG_SPACE(sizeof(int))];

  // Begins the message number i.
  msghdr& begin(unsigned i, iovec data) noexcept {
    vectors[i] = data;
    headers[i] = {};
    msghdr& m = headers[i].msg_hdr;
    m.msg_iov = &vectors[i];
    m.msg_iovlen = 1;
    return m;
  }
};

bool kernel_cuts_segments(int fd) noexcept {
  enum : int { unknown, yes, no };
  static constinit sched::platform::atomic<int> answer{unknown};
  // relaxed: each thread that asks gets the same answer.
  int known = answer.load(mo::relaxed);
  if (known == unknown) {
    int size = 0;
    known = calls::get_option(fd, IPPROTO_UDP, UDP_SEGMENT, size) == -ENOPROTOOPT ? no : yes;
    answer.store(known, mo::relaxed);
  }
  return known == yes;
}

void ask_to_cut(batch& b, unsigned i, std::size_t segment) noexcept {
  msghdr& m = b.headers[i].msg_hdr;
  m.msg_control = &b.control[i][0];
  m.msg_controllen = CMSG_SPACE(sizeof(std::uint16_t));
  std::memset(&b.control[i][0], 0, sizeof b.control[i]);
  cmsghdr* const c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = IPPROTO_UDP;
  c->cmsg_type = UDP_SEGMENT;
  c->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
  const auto size = static_cast<std::uint16_t>(segment);
  std::memcpy(CMSG_DATA(c), &size, sizeof size);
}

// The size of the datagrams that the kernel has joined; 0: it has not.
std::size_t joined_size(msghdr& m) noexcept {
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO) continue;
    int size = 0;
    std::memcpy(&size, CMSG_DATA(c), std::min(sizeof size, std::size_t{c->cmsg_len - CMSG_LEN(0)}));
    return size > 0 ? static_cast<std::size_t>(size) : 0;
  }
  return 0;
}

// One send_many(), for the holder of the write lock.
class sending {
 public:
  sending(udp_state& s, std::span<const outgoing> all) noexcept : state_(s), all_(all) {}

  // A step of descriptor::transfer().
  io_step operator()(int fd, io_result& so_far) noexcept {
    batch b;
    const unsigned filled = fill(fd, b);
    if (filled == 0) {
      so_far.error = EAFNOSUPPORT;
      return io_step::done;
    }
    const long n = calls::send_messages(fd, b.headers, filled);
    if (n == -EAGAIN) return io_step::again;
    if (n == -EINTR) return io_step::more;
    if (n < 0) return failed(static_cast<int>(-n), b.headers[0].msg_hdr.msg_control != nullptr, so_far);
    for (long i = 0; i < n; ++i) advance(at_, b.vectors[i].iov_len);
    so_far.count = at_.index;
    return at_.index == all_.size() ? io_step::done : io_step::more;
  }

  [[nodiscard]] const outgoing& next() const noexcept { return all_[std::min(at_.index, all_.size() - 1)]; }

 private:
  struct place {
    std::size_t index = 0;
    std::size_t offset = 0;  // within an element with segments
  };

  void advance(place& p, std::size_t sent) const noexcept {
    p.offset += sent;
    if (p.offset < all_[p.index].data.size()) return;
    p = {p.index + 1, 0};
  }

  // relaxed: a hint.
  bool may_cut(int fd, std::size_t index) const noexcept {
    return index != uncut_ && state_.segments.load(mo::relaxed) && kernel_cuts_segments(fd);
  }

  // Returns the number of messages; 0 if the next receiver's address is of no use.
  unsigned fill(int fd, batch& b) const noexcept {
    unsigned i = 0;
    for (place p = at_; i < batch_max && p.index < all_.size(); ++i) {
      const outgoing& o = all_[p.index];
      if (o.to.kind() == address::family::local) break;
      const const_bytes rest = o.data.drop(p.offset);
      const bool has_segments = o.segment > 0 && o.segment < rest.size();
      std::size_t size = rest.size();
      if (has_segments) {
        const bool cut = may_cut(fd, p.index);
        const std::size_t fit = cut ? std::clamp<std::size_t>(payload_max / o.segment, 1, segments_max) : 1;
        size = std::min(size, fit * o.segment);
      }
      msghdr& m = b.begin(i, as_iovec(rest.first(size)));
      if (o.to.is_ip()) {
        sockaddr_storage sa;
        m.msg_namelen = o.to.to_sockaddr(sa);
        std::memcpy(&b.names[i], &sa, std::min<std::size_t>(m.msg_namelen, sizeof b.names[i]));
        m.msg_name = &b.names[i];
      }
      if (has_segments && size > o.segment) ask_to_cut(b, i, o.segment);
      advance(p, size);
    }
    return i;
  }

  io_step failed(int error, bool was_cut, io_result& so_far) noexcept {
    if (was_cut && error == EIO) state_.segments.store(false, mo::relaxed);
    if (was_cut && (error == EIO || error == EINVAL || error == EMSGSIZE)) {
      uncut_ = at_.index;
      return io_step::more;
    }
    so_far.error = error;
    return io_step::done;
  }

  udp_state& state_;
  const std::span<const outgoing> all_;
  place at_;
  std::size_t uncut_ = SIZE_MAX;  // the element whose segments are sent one by one
};

// One recvmmsg, for the holder of the read lock.
io_step receive_batch(int fd, udp_state& s, std::span<incoming> all, io_result& so_far) {
  batch b;
  const auto wanted = static_cast<unsigned>(std::min<std::size_t>(all.size(), s.receive_at_once));
  for (unsigned i = 0; i < wanted; ++i) {
    const bytes into = all[i].buffer;
    msghdr& m = b.begin(i, as_iovec(into.first(std::min(into.size(), call_max))));
    m.msg_name = &b.names[i];
    m.msg_namelen = sizeof b.names[i];
    if (s.joins) {
      m.msg_control = &b.control[i][0];
      m.msg_controllen = sizeof b.control[i];
    }
  }
  const io_step step = datagram_step(so_far, calls::receive_messages(fd, b.headers, wanted));
  if (step != io_step::done || so_far.error != 0) return step;
  const auto got = static_cast<unsigned>(so_far.count);
  // Preparing a message costs time. So the next call asks for twice of what came.
  s.receive_at_once = std::clamp(2 * got, 8U, batch_max);
  for (unsigned i = 0; i < got; ++i) {
    msghdr& m = b.headers[i].msg_hdr;
    incoming& to = all[i];
    to.size = std::min<std::size_t>(b.headers[i].msg_len, to.buffer.size());
    to.from = address::from_sockaddr(&b.names[i].any, m.msg_namelen);
    to.truncated = (m.msg_flags & MSG_TRUNC) != 0;
    to.segment = s.joins ? joined_size(m) : 0;
  }
  return step;
}

}  // namespace

absl::StatusOr<std::size_t> udp_socket::send_to(const_bytes data, const address& to) {
  if (state_ == nullptr) return not_open("send", udp_state::kind);
  if (!to.is_ip()) {
    const int error = to.kind() == address::family::none ? EDESTADDRREQ : EAFNOSUPPORT;
    return errno_status(error, "send", state_->name_to(to));
  }
  return send_datagram(
      *state_, [&](int fd) { return calls::send_to(fd, data.data(), data.size(), to); },
      [&] { return state_->name_to(to); });
}

absl::StatusOr<std::size_t> udp_socket::send(const_bytes data) {
  if (state_ == nullptr) return not_open("send", udp_state::kind);
  return send_datagram(
      *state_, [&](int fd) { return calls::send(fd, data.data(), data.size()); }, [&] { return state_->name(); });
}

absl::StatusOr<datagram> udp_socket::receive_from(bytes buffer) {
  if (state_ == nullptr) return not_open("receive", udp_state::kind);
  if (!state_->joins) return receive_datagram(*state_, buffer);
  incoming one{.buffer = buffer};
  const absl::StatusOr<int> n = receive_many({&one, 1});
  if (!n.ok()) return n.status();
  return datagram{one.size, std::move(one.from), one.truncated, one.segment};
}

absl::StatusOr<std::size_t> udp_socket::receive(bytes buffer) {
  if (state_ == nullptr) return not_open("receive", udp_state::kind);
  if (state_->joins) {
    return absl::FailedPreconditionError(
        describe("receive", state_->name(), "the socket joins datagrams: use receive_from() or receive_many()"));
  }
  return receive_whole_datagram(*state_, buffer);
}

absl::StatusOr<int> udp_socket::send_many(std::span<const outgoing> datagrams) {
  if (state_ == nullptr) return not_open("send", udp_state::kind);
  if (datagrams.empty()) return 0;
  if (datagrams.size() > INT_MAX) datagrams = datagrams.first(INT_MAX);
  absl::Status error;
  sending all(*state_, datagrams);
  const io_result r =
      state_->io.transfer(poll_side::write, sched::wait_reason::descriptor_write, all, [&](const io_result& bad) {
        if (bad.count > 0) return;
        const address& to = all.next().to;
        error = state_->io.status_of(bad, "send",
                                     to.kind() == address::family::none ? state_->name() : state_->name_to(to));
      });
  if (r.ok() || r.count > 0) return static_cast<int>(r.count);
  return error;
}

absl::StatusOr<int> udp_socket::receive_many(std::span<incoming> datagrams) {
  if (state_ == nullptr) return not_open("receive", udp_state::kind);
  if (datagrams.empty()) return 0;
  absl::Status error;
  const io_result r = state_->io.transfer(
      poll_side::read, sched::wait_reason::descriptor_read,
      [&](int fd, io_result& so_far) { return receive_batch(fd, *state_, datagrams, so_far); },
      [&](const io_result& bad) { error = state_->io.status_of(bad, "receive", state_->name()); });
  if (r.ok()) return static_cast<int>(r.count);
  return error;
}

}  // namespace baton::net
