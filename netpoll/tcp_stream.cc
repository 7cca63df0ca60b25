// Reads, writes and options of a TCP connection. The loops that wait are in descriptor.h.
#include <baton/netpoll/tcp_stream.h>

#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/stream_access.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/syscall/syscall.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

namespace baton::net {

namespace {

constexpr std::string_view kind = "tcp stream";

// The number of pieces handed to one sendmsg: enough for a handful of headers and bodies, on a small stack.
constexpr std::size_t pieces_max = 32;

absl::Status failed(const tcp_state& s, const io_result& r, const char* operation) {
  return s.io.status_of(r, operation, s.name());
}

absl::Status write_failed(const tcp_state& s, const io_result& r, const char* operation) {
  return with_written(failed(s, r, operation), r.count);
}

// Takes a call that moved n bytes, or failed with -n, into account in a write of `size` bytes.
io_step progress(io_result& r, long n, std::size_t size) noexcept {
  if (n >= 0) {
    r.count += static_cast<std::size_t>(n);
    return r.count == size ? io_step::done : io_step::more;
  }
  if (n == -EAGAIN) return io_step::again;
  if (n == -EINTR) return io_step::more;
  r.error = static_cast<int>(-n);
  return io_step::done;
}

absl::Status closed(const tcp_state& s, const char* operation) {
  io_result r;
  r.failure = poll_failure::closed;
  return failed(s, r, operation);
}

absl::Status option_status(const tcp_state& s, long answer, const char* operation) {
  if (answer >= 0) return absl::OkStatus();
  if (answer == -EBADF) return closed(s, operation);
  return errno_status(static_cast<int>(-answer), operation, s.name());
}

template <descriptor::amount Amount>
absl::StatusOr<std::size_t> read_as(tcp_state& s, bytes buffer) {
  if (buffer.empty()) return std::size_t{0};
  std::byte* const data = buffer.data();
  absl::Status error;
  const io_result r = s.io.read_stream<Amount>(
      buffer.size(), [data](int fd, std::size_t at, std::size_t n) { return calls::receive(fd, data + at, n); },
      [&](const io_result& bad) { error = failed(s, bad, "read"); });
  if (r.ok()) return r.count;
  return error;
}

}  // namespace

descriptor* stream_access::io(const tcp_stream& s) noexcept { return s.state_ == nullptr ? nullptr : &s.state_->io; }
std::string stream_access::name(const tcp_stream& s) { return s.state_->name(); }

tcp_stream::tcp_stream() noexcept = default;
tcp_stream::tcp_stream(std::unique_ptr<tcp_state> state) noexcept : state_(state.release()) {}
tcp_stream::tcp_stream(tcp_stream&&) noexcept = default;
tcp_stream& tcp_stream::operator=(tcp_stream&&) noexcept = default;
tcp_stream::~tcp_stream() = default;
void tcp_stream::closer::operator()(tcp_state* s) const noexcept { close_and_delete(s); }

absl::StatusOr<std::size_t> tcp_stream::read(bytes buffer) {
  if (state_ == nullptr) return not_open("read", kind);
  return read_as<descriptor::amount::some>(*state_, buffer);
}

absl::StatusOr<std::size_t> tcp_stream::read_full(bytes buffer) {
  if (state_ == nullptr) return not_open("read", kind);
  return read_as<descriptor::amount::full>(*state_, buffer);
}

absl::StatusOr<std::size_t> tcp_stream::write(const_bytes data) {
  if (state_ == nullptr) return not_open("write", kind);
  if (data.empty()) return std::size_t{0};
  const std::byte* const from = data.data();
  const std::size_t size = data.size();
  absl::Status error;
  const io_result r = state_->io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [from, size](int fd, io_result& so_far) {
        return progress(so_far, calls::send(fd, from + so_far.count, std::min(size - so_far.count, call_max)), size);
      },
      [&](const io_result& bad) { error = write_failed(*state_, bad, "write"); });
  if (r.ok()) return r.count;
  return error;
}

absl::Status tcp_stream::write_v(std::span<const const_bytes> pieces) {
  if (state_ == nullptr) return not_open("write", kind);
  std::size_t size = 0;
  for (const const_bytes& p : pieces) size += p.size();
  if (size == 0) return absl::OkStatus();
  std::size_t first = 0;   // the first piece that is not sent completely
  std::size_t offset = 0;  // how much of it is
  absl::Status error;
  (void)state_->io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&](int fd, io_result& so_far) {
        std::array<iovec, pieces_max> vector;
        std::size_t used = 0;
        std::size_t total = 0;
        for (std::size_t i = first; i < pieces.size() && used < pieces_max && total < call_max; ++i) {
          const const_bytes rest = i == first ? pieces[i].drop(offset) : pieces[i];
          if (rest.empty()) continue;
          vector[used++] = as_iovec(rest.first(std::min(rest.size(), call_max - total)));
          total += vector[used - 1].iov_len;
        }
        msghdr m{};
        m.msg_iov = vector.data();
        m.msg_iovlen = used;
        const long n = calls::send_message(fd, m);
        for (std::size_t left = n > 0 ? static_cast<std::size_t>(n) : 0; left > 0;) {
          const std::size_t step = std::min(left, pieces[first].size() - offset);
          left -= step;
          offset += step;
          if (offset == pieces[first].size()) {
            ++first;
            offset = 0;
          }
        }
        return progress(so_far, n, size);
      },
      [&](const io_result& bad) { error = write_failed(*state_, bad, "write"); });
  return error;
}

absl::StatusOr<std::size_t> tcp_stream::send_file(int file, off_t offset, std::size_t size) {
  if (state_ == nullptr) return not_open("send file", kind);
  if (size == 0) return std::size_t{0};
  absl::Status error;
  const io_result r = state_->io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&](int fd, io_result& so_far) {
        const std::size_t want = std::min(size - so_far.count, call_max);
        const long n = calls::answer(sys::syscall(SYS_sendfile, fd, file, &offset, want));
        return n == 0 ? io_step::done : progress(so_far, n, size);  // 0: the file ends here
      },
      [&](const io_result& bad) { error = write_failed(*state_, bad, "send file"); });
  if (r.ok()) return r.count;
  return error;
}

void tcp_stream::set_deadline_ns(poll_side side, std::int64_t deadline_ns) {
  if (state_ != nullptr) state_->io.set_deadline(side, deadline_ns);
}

void tcp_stream::set_deadlines_ns(std::int64_t deadline_ns) {
  if (state_ != nullptr) state_->io.set_deadlines(deadline_ns);
}

void tcp_stream::set_cancellation(const std::shared_ptr<cancellation>& c) {
  if (state_ != nullptr) state_->io.set_cancellation(c);
}

void tcp_stream::set_cancellation(poll_side side, const std::shared_ptr<cancellation>& c) {
  if (state_ != nullptr) state_->io.set_cancellation(side, c);
}

absl::Status tcp_stream::close_write() {
  if (state_ == nullptr) return not_open("close write", kind);
  return option_status(*state_, state_->io.with_fd([](int fd) { return calls::shutdown(fd, SHUT_WR); }), "close write");
}

void tcp_stream::close() {
  if (state_ != nullptr) (void)state_->io.close();
}

absl::Status tcp_stream::set_no_delay(bool on) {
  if (state_ == nullptr) return not_open("set no delay", kind);
  return option_status(
      *state_, state_->io.with_fd([on](int fd) { return calls::set_option(fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }),
      "set no delay");
}

absl::Status tcp_stream::set_keep_alive_ns(std::int64_t every_ns) {
  if (state_ == nullptr) return not_open("set keep alive", kind);
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t seconds_max = 32767;  // MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
  const std::int64_t whole = every_ns / second + (every_ns % second > 0 ? 1 : 0);
  const int seconds = static_cast<int>(std::clamp<std::int64_t>(whole, 0, seconds_max));
  const long answer = state_->io.with_fd([seconds](int fd) {
    long r = calls::set_option(fd, SOL_SOCKET, SO_KEEPALIVE, seconds > 0 ? 1 : 0);
    if (r >= 0 && seconds > 0) r = calls::set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    if (r >= 0 && seconds > 0) r = calls::set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
    return r;
  });
  return option_status(*state_, answer, "set keep alive");
}

address tcp_stream::local_address() const { return state_ == nullptr ? address{} : state_->local; }
address tcp_stream::remote_address() const { return state_ == nullptr ? address{} : state_->remote; }
int tcp_stream::native_handle() const noexcept { return state_ == nullptr ? -1 : state_->io.native_handle(); }

}  // namespace baton::net
