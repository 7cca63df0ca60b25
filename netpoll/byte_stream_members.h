// The members of byte_stream. Internal to netpoll: the source of each stream includes this file and says
//   template class byte_stream<its state>;   (and descriptor_owner, two_sided_owner)
// A state has: descriptor io; address local, remote; std::string name() const; static constexpr std::string_view kind.
// The loops that wait are in descriptor.h.
#pragma once

#include <baton/netpoll/byte_stream.h>
#include <baton/netpoll/descriptor_owner_members.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/socket_options.h>
#include <baton/syscall/syscall.h>

#include <sys/uio.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

namespace baton::net {

namespace stream_io {

// The number of pieces handed to one sendmsg: enough for a handful of headers and bodies, on a small stack.
inline constexpr std::size_t pieces_max = 32;

template <class State>
absl::Status failed(const State& s, const io_result& r, const char* operation) {
  return s.io.status_of(r, operation, s.name());
}

template <class State>
absl::Status write_failed(const State& s, const io_result& r, const char* operation) {
  return with_written(failed(s, r, operation), r.count);
}

// Takes a call that moved n bytes, or failed with -n, into account in a write of `size` bytes.
inline io_step progress(io_result& r, long n, std::size_t size) noexcept {
  if (n >= 0) {
    r.count += static_cast<std::size_t>(n);
    return r.count == size ? io_step::done : io_step::more;
  }
  if (n == -EAGAIN) return io_step::again;
  if (n == -EINTR) return io_step::more;
  r.error = static_cast<int>(-n);
  return io_step::done;
}

template <descriptor::amount Amount, class State>
absl::StatusOr<std::size_t> read_as(State& s, bytes buffer) {
  if (buffer.empty()) return std::size_t{0};
  std::byte* const data = buffer.data();
  absl::Status error;
  const io_result r = s.io.template read_stream<Amount>(
      buffer.size(), [data](int fd, std::size_t at, std::size_t n) { return calls::receive(fd, data + at, n); },
      [&](const io_result& bad) { error = failed(s, bad, "read"); });
  if (r.ok()) return r.count;
  return error;
}

}  // namespace stream_io

template <class State>
absl::StatusOr<std::size_t> byte_stream<State>::read(bytes buffer) {
  State* const s = this->state_.get();
  if (s == nullptr) return not_open("read", State::kind);
  return stream_io::read_as<descriptor::amount::some>(*s, buffer);
}

template <class State>
absl::StatusOr<std::size_t> byte_stream<State>::read_full(bytes buffer) {
  State* const s = this->state_.get();
  if (s == nullptr) return not_open("read", State::kind);
  return stream_io::read_as<descriptor::amount::full>(*s, buffer);
}

template <class State>
absl::StatusOr<std::size_t> byte_stream<State>::write(const_bytes data) {
  State* const s = this->state_.get();
  if (s == nullptr) return not_open("write", State::kind);
  if (data.empty()) return std::size_t{0};
  const std::byte* const from = data.data();
  const std::size_t size = data.size();
  absl::Status error;
  const io_result r = s->io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [from, size](int fd, io_result& so_far) {
        return stream_io::progress(so_far,
                                   calls::send(fd, from + so_far.count, std::min(size - so_far.count, call_max)), size);
      },
      [&](const io_result& bad) { error = stream_io::write_failed(*s, bad, "write"); });
  if (r.ok()) return r.count;
  return error;
}

template <class State>
absl::Status byte_stream<State>::write_v(std::span<const const_bytes> pieces) {
  State* const s = this->state_.get();
  if (s == nullptr) return not_open("write", State::kind);
  std::size_t size = 0;
  for (const const_bytes& p : pieces) size += p.size();
  if (size == 0) return absl::OkStatus();
  std::size_t first = 0;   // the first piece that is not sent completely
  std::size_t offset = 0;  // how much of it is
  absl::Status error;
  (void)s->io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&](int fd, io_result& so_far) {
        std::array<iovec, stream_io::pieces_max> vector;
        std::size_t used = 0;
        std::size_t total = 0;
        for (std::size_t i = first; i < pieces.size() && used < stream_io::pieces_max && total < call_max; ++i) {
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
        return stream_io::progress(so_far, n, size);
      },
      [&](const io_result& bad) { error = stream_io::write_failed(*s, bad, "write"); });
  return error;
}

template <class State>
absl::StatusOr<std::size_t> byte_stream<State>::send_file(int file, off_t offset, std::size_t size) {
  State* const s = this->state_.get();
  if (s == nullptr) return not_open("send file", State::kind);
  if (size == 0) return std::size_t{0};
  absl::Status error;
  const io_result r = s->io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&](int fd, io_result& so_far) {
        const std::size_t want = std::min(size - so_far.count, call_max);
        const long n = calls::answer(sys::syscall(SYS_sendfile, fd, file, &offset, want));
        return n == 0 ? io_step::done : stream_io::progress(so_far, n, size);  // 0: the file ends here
      },
      [&](const io_result& bad) { error = stream_io::write_failed(*s, bad, "send file"); });
  if (r.ok()) return r.count;
  return error;
}

template <class State>
absl::Status byte_stream<State>::close_write() {
  State* const s = this->state_.get();
  if (s == nullptr) return not_open("close write", State::kind);
  return option_status(*s, s->io.with_fd([](int fd) { return calls::shutdown(fd, SHUT_WR); }), "close write");
}

template <class State>
address byte_stream<State>::local_address() const {
  return this->state_ == nullptr ? address{} : this->state_->local;
}

template <class State>
address byte_stream<State>::remote_address() const {
  return this->state_ == nullptr ? address{} : this->state_->remote;
}

}  // namespace baton::net
