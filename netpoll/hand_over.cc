// On the stream: a byte `one` with each descriptor, a byte `all` after the last one, and as the answer a byte `taken`
// or `refused`.
#include <baton/netpoll/hand_over.h>

#include <baton/netpoll/error_text.h>
#include <baton/syscall/owned_fd.h>

#include <array>
#include <cerrno>
#include <new>
#include <utility>

namespace baton::net {

namespace {

constexpr char one = 'L';
constexpr char all = '.';
constexpr char taken = '+';
constexpr char refused = '-';

absl::Status lost(const char* operation, std::string_view reason) {
  return absl::DataLossError(describe(operation, "listeners", reason));
}

absl::StatusOr<std::vector<tcp_listener>> receive_all(unix_stream& from) try {
  std::vector<tcp_listener> listeners;
  for (;;) {
    char mark = 0;
    sys::owned_fd fd;
    const absl::StatusOr<unix_message> m = from.receive_fds({&mark, 1}, {&fd, 1});
    if (!m.ok()) return m.status();
    if (m->size == 0) return lost("take over", "the predecessor has closed the stream");
    if (m->fds_lost) return errno_status(EMFILE, "take over", "listeners");
    if (mark == all && m->fds == 0) return listeners;
    if (mark != one || m->fds != 1) return lost("take over", "the stream carries something else");
    absl::StatusOr<tcp_listener> l = tcp_listener::adopt(fd.get());
    if (!l.ok()) return l.status();
    (void)fd.release();
    listeners.push_back(*std::move(l));
  }
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "take over", "listeners");
}

}  // namespace

absl::Status hand_over(unix_stream& successor, std::span<tcp_listener> listeners) {
  for (const tcp_listener& l : listeners) {
    if (!l.is_open()) return not_open("hand over", "tcp listener");
  }
  for (const tcp_listener& l : listeners) {
    if (absl::Status s = successor.send_fd(l.native_handle(), {&one, 1}); !s.ok()) return s;
  }
  if (const auto sent = successor.write({&all, 1}); !sent.ok()) return sent.status();
  char answer = 0;
  const absl::StatusOr<std::size_t> n = successor.read({&answer, 1});
  if (!n.ok()) return n.status();
  if (*n == 0) return lost("hand over", "the successor has closed the stream");
  if (answer == taken) return absl::OkStatus();
  if (answer == refused)
    return absl::AbortedError(describe("hand over", "listeners", "the successor could not take them"));
  return lost("hand over", "the stream carries something else");
}

absl::StatusOr<std::vector<tcp_listener>> take_over(unix_stream& predecessor) {
  absl::StatusOr<std::vector<tcp_listener>> listeners = receive_all(predecessor);
  const char answer = listeners.ok() ? taken : refused;
  const absl::StatusOr<std::size_t> told = predecessor.write({&answer, 1});
  if (listeners.ok() && !told.ok()) return told.status();
  return listeners;
}

}  // namespace baton::net
