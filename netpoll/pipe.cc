// Reads and writes of pipes. The loops that wait are in descriptor.h.
//
// A short read of a pipe does not mean that the pipe is empty: a pipe in packet mode (O_DIRECT) ends reads at packets,
// and adopted descriptors may be of any kind. So every read tries before it waits.
#include <baton/netpoll/pipe.h>

#include <baton/netpoll/descriptor_owner_members.h>
#include <baton/netpoll/stream_access.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <algorithm>
#include <memory>
#include <new>
#include <utility>

namespace baton {

namespace detail {

struct pipe_state {
  explicit pipe_state(std::string text) noexcept : name(std::move(text)) {}
  net::descriptor io;
  const std::string name;
};

}  // namespace detail

template class net::descriptor_owner<detail::pipe_state>;

net::descriptor* net::stream_access::io(const net::descriptor_owner<detail::pipe_state>& p) noexcept {
  return p.state_ == nullptr ? nullptr : &p.state_->io;
}
std::string net::stream_access::name(const net::descriptor_owner<detail::pipe_state>& p) { return p.state_->name; }

namespace {

constexpr std::string_view kind = "pipe";

absl::StatusOr<std::unique_ptr<detail::pipe_state>> adopted(int number, std::string name) try {
  auto state = std::make_unique<detail::pipe_state>(std::move(name));
  if (const int error = state->io.adopt(number); error != 0) return net::errno_status(error, "adopt", state->name);
  return state;
} catch (const std::bad_alloc&) {
  return net::errno_status(ENOMEM, "adopt", kind);
}

}  // namespace

absl::StatusOr<pipe_reader> pipe_reader::adopt(int fd, std::string name) {
  absl::StatusOr<std::unique_ptr<detail::pipe_state>> state = adopted(fd, std::move(name));
  if (!state.ok()) return state.status();
  return pipe_reader(*std::move(state));
}

absl::StatusOr<pipe_writer> pipe_writer::adopt(int fd, std::string name) {
  absl::StatusOr<std::unique_ptr<detail::pipe_state>> state = adopted(fd, std::move(name));
  if (!state.ok()) return state.status();
  return pipe_writer(*std::move(state));
}

absl::StatusOr<std::size_t> pipe_reader::read(bytes buffer) {
  if (state_ == nullptr) return net::not_open("read", kind);
  if (buffer.empty()) return std::size_t{0};
  absl::Status error;
  const net::io_result r = state_->io.transfer(
      net::poll_side::read, sched::wait_reason::descriptor_read,
      [buffer](int fd, net::io_result& so_far) {
        const auto n = sys::nb::read(fd, buffer.first(std::min(buffer.size(), net::call_max)));
        if (n.error() == EAGAIN) return net::io_step::again;
        so_far.error = n.error();
        so_far.count = n.value_or(std::size_t{0});
        return net::io_step::done;
      },
      [&](const net::io_result& bad) { error = state_->io.status_of(bad, "read", state_->name); });
  if (r.ok()) return r.count;
  return error;
}

absl::StatusOr<std::size_t> pipe_writer::write(const_bytes data) {
  if (state_ == nullptr) return net::not_open("write", kind);
  if (data.empty()) return std::size_t{0};
  absl::Status error;
  const net::io_result r = state_->io.transfer(
      net::poll_side::write, sched::wait_reason::descriptor_write,
      [data](int fd, net::io_result& so_far) {
        const const_bytes rest = data.drop(so_far.count);
        const auto n = sys::nb::write(fd, rest.first(std::min(rest.size(), net::call_max)));
        if (n.error() == EAGAIN) return net::io_step::again;
        so_far.error = n.error();
        so_far.count += n.value_or(std::size_t{0});
        return n && so_far.count < data.size() ? net::io_step::more : net::io_step::done;
      },
      [&](const net::io_result& bad) {
        error = with_written(state_->io.status_of(bad, "write", state_->name), bad.count);
      });
  if (r.ok()) return r.count;
  return error;
}

absl::StatusOr<pipe_ends> make_pipe() {
  const auto numbers = sys::pipe2(O_CLOEXEC | O_NONBLOCK);
  if (!numbers) return net::errno_status(numbers.error(), "make pipe", {});
  sys::owned_fd read_end((*numbers)[0]);
  sys::owned_fd write_end((*numbers)[1]);
  absl::StatusOr<pipe_reader> reader = pipe_reader::adopt(read_end.get());
  if (!reader.ok()) return reader.status();
  (void)read_end.release();
  absl::StatusOr<pipe_writer> writer = pipe_writer::adopt(write_end.get());
  if (!writer.ok()) return writer.status();
  (void)write_end.release();
  return pipe_ends{*std::move(reader), *std::move(writer)};
}

}  // namespace baton
