// Copies within the kernel (io.h, copy()).
//
//   to \ from            on a device          pipe        socket
//   on a device          copy_file_range      splice      splice twice
//   pipe                 sendfile             splice      splice
//   socket               sendfile             splice      splice twice
//   terminal and others  sendfile             splice      splice twice
//
// splice moves pages from or to a pipe. "Twice": through a pipe of the copy's own. Borrowed files that are not on a
// device are copied in none of these ways: such a file may be in blocking mode, so that a call which waits for ever
// would keep a thread.
//
// Each call moves a piece, so that it does not keep its thread, its place in the gate and its P's predictions for long.
// For each call the copy holds both sides again; a close() of one of them ends the copy with the next call. A side that
// is closed, or whose deadline has passed or context is done, ends the copy before the next call as well.
//
// A call that the kernel refuses before anything has been moved is not an error: the caller goes on with a buffer,
// which meets the real error if there is one.
//
// EAGAIN: one of the two sides would wait. sendfile and the two halves of "splice twice" have one side that can. After
// a splice from a pipe to something that can wait, too, the copy waits until the source is readable and then until the
// target is writable, as poll() tells.
#include <baton/runtime/io.h>

#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/pipe.h>
#include <baton/netpoll/stream_access.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/runtime/detail/file_access.h>
#include <baton/sched/park.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>

#include <absl/functional/function_ref.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace baton::detail {

namespace {

using moved_by_call = sys::result<std::size_t>;
using call_on = absl::FunctionRef<moved_by_call(int fd)>;

constexpr std::size_t piece_max = std::size_t{8} << 20;
constexpr int own_pipe_size = 256 << 10;

// One side of the copy.
class side {
 public:
  side(kernel_end e, net::poll_side direction) noexcept : end_(e), direction_(direction) {
    switch (e.is) {
      case kernel_end::kind::file: file_ = file_access::state(as<file>()); break;
      case kernel_end::kind::pipe_reader: io_ = net::stream_access::io(as<pipe_reader>()); break;
      case kernel_end::kind::pipe_writer: io_ = net::stream_access::io(as<pipe_writer>()); break;
      case kernel_end::kind::tcp_stream: io_ = net::stream_access::io(as<net::tcp_stream>()); break;
    }
    if (file_ != nullptr) mode_ = file_->mode();
    if (e.is == kernel_end::kind::tcp_stream) mode_ = S_IFSOCK;
    // An end that was adopted may be of any kind.
    if (mode_ == 0 && io_ != nullptr) mode_ = kind_of(io_->native_handle()).value_or(file_kind{}).mode;
  }

  [[nodiscard]] bool is_open() const noexcept { return file_ != nullptr || io_ != nullptr; }
  [[nodiscard]] bool on_device() const noexcept { return file_ != nullptr && file_->on_device(); }
  [[nodiscard]] bool is_pipe() const noexcept { return S_ISFIFO(mode_); }
  [[nodiscard]] bool is_socket() const noexcept { return S_ISSOCK(mode_); }
  [[nodiscard]] bool may_block() const noexcept { return file_ != nullptr && !on_device() && file_->borrowed(); }

  // Returns why this side ends the copy, or OK if it does not.
  [[nodiscard]] const absl::Status& failure() const noexcept { return failure_; }
  void fail(absl::Status why) noexcept { failure_ = std::move(why); }
  [[nodiscard]] absl::Status failed(int error) const {
    const char* const operation = direction_ == net::poll_side::write ? "copy to" : "copy from";
    return file_ != nullptr ? file_->failed(error, operation) : net::errno_status(error, operation, name());
  }

  // Switches. Calls call(fd) while the side is held. EAGAIN comes back.
  moved_by_call once(call_on call) { return held(call, false); }
  // Switches. The same, but parks on EAGAIN until this side is ready, and calls again.
  moved_by_call when_ready(call_on call) { return held(call, true); }
  // Switches. Waits until poll() tells that this side is ready.
  moved_by_call until_ready() {
    if (on_device()) return std::size_t{0};
    const auto events = static_cast<short>(direction_ == net::poll_side::read ? POLLIN : POLLOUT);
    return when_ready([events](int fd) -> moved_by_call {
      ::pollfd one{fd, events, 0};
      const auto ready = sys::poll({&one, 1}, 0);
      if (!ready) return sys::failure(ready.error());
      if (*ready == 0) return sys::failure(EAGAIN);
      return std::size_t{1};
    });
  }
  // Switches. Makes the call as a declared one, behind the gate of the device that it may wait for.
  template <class Call>
  moved_by_call declared(side& other, Call call) {
    if (!on_device()) return other.on_device() ? other.declared(*this, call) : blocking(call);
    const moved_by_call n = file_->behind_gate(call);
    if (n.error() != file_closed) return n;
    failure_ = failed(file_closed);
    return sys::failure(EBADF);
  }
  // Switches. Writes all of it. Returns how much was written before an error, which is the side's failure then.
  std::size_t write(const_bytes data) {
    absl::StatusOr<std::size_t> n = std::size_t{0};
    switch (end_.is) {
      case kernel_end::kind::file: n = as<file>().write(data); break;
      case kernel_end::kind::pipe_writer: n = as<pipe_writer>().write(data); break;
      case kernel_end::kind::tcp_stream: n = as<net::tcp_stream>().write(data); break;
      case kernel_end::kind::pipe_reader: break;
    }
    if (n.ok()) return *n;
    failure_ = n.status();
    return written_of(n.status());
  }

 private:
  template <class T>
  [[nodiscard]] T& as() const noexcept {
    return *static_cast<T*>(end_.object);
  }
  [[nodiscard]] std::string name() const {
    switch (end_.is) {
      case kernel_end::kind::tcp_stream: return net::stream_access::name(as<net::tcp_stream>());
      case kernel_end::kind::pipe_reader: return net::stream_access::name(as<pipe_reader>());
      case kernel_end::kind::pipe_writer: return net::stream_access::name(as<pipe_writer>());
      case kernel_end::kind::file: break;
    }
    return file_->path();
  }
  moved_by_call held(call_on call, bool parks) {
    return file_ != nullptr ? held_file(call, parks) : held_descriptor(call, parks);
  }
  moved_by_call held_file(call_on call, bool parks) {
    const file_state::hold user(*file_);
    const int error = user ? file_->failure(direction_) : EBADF;
    if (error != 0) return failure_ = failed(error), sys::failure(EBADF);
    const auto on_fd = [&]() { return call(file_->fd()); };
    const moved_by_call n = parks ? file_->when_ready(direction_, on_fd) : on_fd();
    if (failure_.ok() && (n.error() == file_closed || n.error() == file_expired || n.error() == file_cancelled)) {
      failure_ = failed(n.error());
    }
    return n;
  }
  moved_by_call held_descriptor(call_on call, bool parks) {
    const bool reads = direction_ == net::poll_side::read;
    const net::io_result r = io_->transfer(
        direction_, reads ? sched::wait_reason::descriptor_read : sched::wait_reason::descriptor_write,
        [&](int fd, net::io_result& so_far) {
          const moved_by_call n = call(fd);
          if (parks && n.error() == EAGAIN) return net::io_step::again;
          so_far.error = n.error();
          so_far.count = n.value_or(std::size_t{0});
          return net::io_step::done;
        },
        [&](const net::io_result& bad) {
          if (bad.failure == net::poll_failure::none) return;
          failure_ = io_->status_of(bad, reads ? "copy from" : "copy to", name());
        });
    if (!r.ok()) return sys::failure(r.error != 0 ? r.error : EBADF);
    return r.count;
  }

  const kernel_end end_;
  const net::poll_side direction_;
  file_state* file_ = nullptr;
  net::descriptor* io_ = nullptr;
  mode_t mode_ = 0;
  absl::Status failure_;
};

moved_by_call splice(int from, int to, std::size_t n) noexcept {
  return sys::detail::call<SYS_splice, std::size_t>(from, nullptr, to, nullptr, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

bool refused(int error) noexcept {
  switch (error) {
    case EXDEV:
    case EINVAL:
    case ENOSYS:
    case EOPNOTSUPP:
    case EBADF:  // copy_file_range to a file that is open for appending
    case EPERM:
    case ETXTBSY:
    case EISDIR:
    case EIO: return true;
    default: return false;
  }
}

class copying {
 public:
  copying(kernel_end to, kernel_end from) noexcept
      : to_(to, net::poll_side::write), from_(from, net::poll_side::read) {}

  moved run(std::size_t limit) {
    way how = first_way();
    while (how != way::none && so_far_.count < limit) {
      const moved_by_call n = move_once(how, std::min(limit - so_far_.count, piece_max));
      if (const absl::Status& ended = to_.failure().ok() ? from_.failure() : to_.failure(); !ended.ok()) {
        return finished(ended);
      }
      if (n) {
        // Files of /proc and the like have content, but no size: copy_file_range finds their end at once.
        if (*n == 0 && so_far_.count == 0) return so_far_;
        if (*n == 0) return finished(absl::OkStatus());
        so_far_.count += *n;
        sched::yield_if_due();
      } else if (!refused(n.error())) {
        return finished(to_.failed(n.error()));
      } else if (how == way::copy_file_range && n.error() != EBADF) {
        how = way::sendfile;
      } else {
        return so_far_;
      }
    }
    if (how == way::none) return so_far_;
    return finished(absl::OkStatus());
  }

 private:
  enum class way : std::uint8_t { copy_file_range, sendfile, splice, splice_twice, none };

  [[nodiscard]] way first_way() noexcept {
    // The buffered copy reports what is not open.
    if (!to_.is_open() || !from_.is_open() || to_.may_block() || from_.may_block()) return way::none;
    if (from_.on_device()) return to_.on_device() ? way::copy_file_range : way::sendfile;
    if (from_.is_pipe()) return way::splice;
    if (!from_.is_socket()) return way::none;
    return to_.is_pipe() ? way::splice : way::splice_twice;
  }

  moved finished(absl::Status why) {
    so_far_.finished = true;
    so_far_.error = std::move(why);
    return std::move(so_far_);
  }

  moved_by_call move_once(way how, std::size_t n) {
    switch (how) {
      case way::copy_file_range:
        return both([n](int from, int to) noexcept {
          return sys::detail::call<SYS_copy_file_range, std::size_t>(from, nullptr, to, nullptr, n, 0U);
        });
      case way::sendfile:
        return to_.when_ready([&](int to) {
          return from_.once([&](int from) {
            return from_.declared(to_, [=]() noexcept { return sys::nb::sendfile(to, from, nullptr, n); });
          });
        });
      case way::splice: return splice_once(n);
      case way::splice_twice: return splice_twice(n);
      case way::none: break;
    }
    return sys::failure(EINVAL);
  }

  template <class Call>
  moved_by_call both(Call call) {
    return from_.once([&](int from) {
      return to_.once([&](int to) { return to_.declared(from_, [=]() noexcept { return call(from, to); }); });
    });
  }

  moved_by_call splice_once(std::size_t n) {
    for (;;) {
      const moved_by_call done = both([n](int from, int to) noexcept { return splice(from, to, n); });
      if (done.error() != EAGAIN) return done;
      if (const moved_by_call ready = from_.until_ready(); !ready) return ready;
      if (const moved_by_call ready = to_.until_ready(); !ready) return ready;
      sched::yield_if_due();
    }
  }

  // Fills the copy's own pipe when it is empty, and moves on what is in it.
  moved_by_call splice_twice(std::size_t n) {
    if (in_pipe_ == 0) {
      if (!pipe_in_ && !make_pipe()) return sys::failure(EINVAL);  // a buffer does
      const moved_by_call got = from_.when_ready(
          [&](int from) { return blocking([this, from, n]() noexcept { return splice(from, pipe_in_.get(), n); }); });
      if (!got && !refused(got.error()) && from_.failure().ok()) from_.fail(from_.failed(got.error()));
      if (!got || *got == 0) return got;
      in_pipe_ = *got;
    }
    const moved_by_call put = to_.when_ready([&](int to) {
      return to_.declared(from_, [this, to]() noexcept { return splice(pipe_out_.get(), to, in_pipe_); });
    });
    if (put && *put > 0) {
      in_pipe_ -= *put;
      return put;
    }
    if (!to_.failure().ok() || (!put && !refused(put.error()))) return put;
    drain();
    return sys::failure(EINVAL);
  }

  [[nodiscard]] bool make_pipe() noexcept {
    const auto ends = sys::pipe2(O_CLOEXEC | O_NONBLOCK);
    if (!ends) return false;
    pipe_out_.reset((*ends)[0]);
    pipe_in_.reset((*ends)[1]);
    static_cast<void>(sys::fcntl(pipe_in_.get(), F_SETPIPE_SZ, own_pipe_size));
    return true;
  }

  // The target refuses splice: what is in the pipe goes there by write().
  void drain() {
    const std::unique_ptr<char[]> memory(new (std::nothrow) char[in_pipe_]);
    if (memory == nullptr) return to_.fail(no_memory("copy"));
    for (std::size_t left = std::exchange(in_pipe_, 0); left > 0 && to_.failure().ok();) {
      const auto got = sys::nb::read(pipe_out_.get(), bytes(memory.get(), left));
      if (!got || *got == 0) return to_.fail(to_.failed(EIO));
      so_far_.count += to_.write(const_bytes(memory.get(), *got));
      left -= *got;
    }
  }

  side to_;
  side from_;
  sys::owned_fd pipe_out_, pipe_in_;  // the copy's own pipe
  std::size_t in_pipe_ = 0;
  moved so_far_;
};

}  // namespace

moved move_between(kernel_end to, kernel_end from, std::size_t limit) { return copying(to, from).run(limit); }

}  // namespace baton::detail
