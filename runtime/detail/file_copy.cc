// Copies within the kernel (io.h, copy()).
//
//   to \ from          on a device          pipe
//   on a device        copy_file_range      splice
//   pipe               sendfile             splice
//   socket, terminal   sendfile             splice
//   TCP stream         sendfile             -
//
// Each call moves a piece, so that it does not keep its thread, its place in the gate and its P's predictions for long.
// A call that the kernel refuses before anything has been moved is no error: the caller goes on with a buffer, which
// meets the real error if there is one. EAGAIN: one of the two sides would wait; which one, the kernel does not say. A
// piece then goes through a buffer, because read() and write() park at the right side.
#include <baton/runtime/io.h>

#include <baton/netpoll/tcp_stream.h>
#include <baton/runtime/detail/file_access.h>
#include <baton/sched/park.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

namespace baton::detail {

namespace {

constexpr std::size_t piece_max = std::size_t{8} << 20;
constexpr std::size_t waiting_piece = std::size_t{64} << 10;

enum class way : std::uint8_t { copy_file_range, sendfile, splice, none };

bool is_pipe(file_state& f) noexcept {
  const auto about = f.stat();
  return about && S_ISFIFO(about->st_mode);
}

way way_of(file_state& to, file_state& from) noexcept {
  // A call on a file that blocks, although it may wait for ever, would keep a thread.
  if ((!to.on_device() && to.borrowed()) || (!from.on_device() && from.borrowed())) return way::none;
  if (from.on_device()) return to.on_device() ? way::copy_file_range : way::sendfile;
  return is_pipe(from) ? way::splice : way::none;
}

sys::result<std::size_t> move_once(way how, file_state& to, file_state& from, std::size_t n) noexcept {
  const auto call = [&, n]() noexcept -> sys::result<std::size_t> {
    switch (how) {
      case way::copy_file_range:
        return sys::detail::call<SYS_copy_file_range, std::size_t>(from.fd(), nullptr, to.fd(), nullptr, n, 0U);
      case way::sendfile: return sys::nb::sendfile(to.fd(), from.fd(), nullptr, n);
      case way::splice:
        return sys::detail::call<SYS_splice, std::size_t>(from.fd(), nullptr, to.fd(), nullptr, n,
                                                          SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      case way::none: break;
    }
    return sys::failure(EINVAL);
  };
  return to.on_device() ? to.behind_gate(call) : from.behind_gate(call);
}

// Moves a piece by read() and write(). Returns false if the copy is finished.
bool move_by_buffer(file& to, file& from, std::size_t n, moved& so_far) {
  const std::unique_ptr<char[]> memory(new (std::nothrow) char[n]);
  if (memory == nullptr) return so_far.error = no_memory("copy"), false;
  const auto got = from.read(bytes(memory.get(), n));
  if (!got.ok()) return so_far.error = got.status(), false;
  if (*got == 0) return false;
  const auto put = to.write(const_bytes(memory.get(), *got));
  so_far.count += put.ok() ? *put : written_of(put.status());
  if (!put.ok()) so_far.error = put.status();
  return put.ok();
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

}  // namespace

// A copy is many reads and writes, each a use of its own; a close() ends it with the next one.
moved move_in_kernel(file& to, file& from, std::size_t limit) {
  moved so_far;
  file_state* const out = file_access::state(to);
  file_state* const in = file_access::state(from);
  if (out == nullptr || in == nullptr) return so_far;
  way how = way::none;
  {
    const file_state::hold writes(*out);
    const file_state::hold reads(*in);
    if (!writes || !reads) return so_far;
    how = way_of(*out, *in);
  }
  while (how != way::none && so_far.count < limit) {
    sys::result<std::size_t> n = sys::failure(EBADF);
    const std::size_t piece = std::min(limit - so_far.count, piece_max);
    {
      const file_state::hold writes(*out);
      const file_state::hold reads(*in);
      if (!writes || !reads) return so_far;  // the buffered copy reports which
      n = move_once(how, *out, *in, piece);
      if (!n && n.error() != EAGAIN && !refused(n.error())) {
        so_far.error = out->failed(n.error(), "copy to");
        so_far.finished = true;
        return so_far;
      }
    }
    if (n) {
      // /proc and the like have content, but no size, and copy_file_range sees an end.
      if (*n == 0 && so_far.count == 0) return so_far;
      if (*n == 0) break;
      so_far.count += *n;
      sched::yield_if_due();
    } else if (n.error() == EAGAIN) {
      if (!move_by_buffer(to, from, std::min(piece, waiting_piece), so_far)) break;
    } else if (how == way::copy_file_range && n.error() != EBADF) {
      how = way::sendfile;
    } else {
      return so_far;
    }
  }
  so_far.finished = true;
  return so_far;
}

moved move_in_kernel(net::tcp_stream& to, file& from, std::size_t limit) {
  moved so_far;
  file_state* const in = file_access::state(from);
  if (in == nullptr) return so_far;
  const file_state::hold reads(*in);
  const auto about = reads ? in->stat() : sys::result<struct ::stat>(sys::failure(EBADF));
  if (!about || !S_ISREG(about->st_mode)) return so_far;
  const auto begin = sys::lseek(in->fd(), 0, SEEK_CUR);
  if (!begin) return so_far;
  // The position follows also where the stream fails.
  const auto sent = to.send_file(in->fd(), *begin, limit);
  so_far.count = sent.ok() ? *sent : written_of(sent.status());
  static_cast<void>(sys::lseek(in->fd(), *begin + static_cast<off_t>(so_far.count), SEEK_SET));
  const int error = errno_of(sent.status());
  if (sent.ok() && (so_far.count > 0 || about->st_size > 0)) {
    so_far.finished = true;
  } else if (!sent.ok() && (so_far.count > 0 || !refused(error))) {
    so_far.finished = true;
    so_far.error = sent.status();
  }
  return so_far;
}

}  // namespace baton::detail
