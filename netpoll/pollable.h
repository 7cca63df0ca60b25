// Public API: a descriptor of any kind that the kernel can poll: one that a library hands out (libpq, c-ares), inotify,
// a timerfd, a pidfd.
//
//   auto end = baton::net::pollable::adopt(baton::sys::pidfd_open(pid).value());
//   if (!end.ok()) return end.status();
//   absl::Status ended = end->wait_readable();
//
// Thread-safe: waits to read queue behind each other, and so do waits to write. close() may be called from anywhere.
// Deadlines, contexts, close() and release() are those of descriptor_owner.h.
#pragma once

#include <baton/netpoll/descriptor_owner.h>
#include <baton/syscall/result.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cerrno>
#include <optional>
#include <type_traits>

namespace baton::net {

struct pollable_state;

class pollable : public two_sided_owner<pollable_state> {
 public:
  pollable() noexcept = default;  // not open

  // Takes over the descriptor and sets O_NONBLOCK, which other descriptors of the same open file see, too. After an
  // error (EBADF; EPERM: it cannot be polled, as a regular file; ENOMEM …) it still belongs to the caller. Never
  // switches.
  [[nodiscard]] static absl::StatusOr<pollable> adopt(int fd);

  // Switch. Wait until a read (a write) would not block: there is data (room), or an end, or an error to fetch. Fail
  // with DEADLINE_EXCEEDED, the context's error, or CANCELLED after close(); FAILED_PRECONDITION if it is not open.
  absl::Status wait_readable();
  absl::Status wait_writable();

  // Switch. Call f(fd), which returns a sys::result; while that is EAGAIN, wait and call it again. Fail with ETIMEDOUT
  // after a deadline, with ECANCELED after close() or when a context is done, and with EBADF if it is not open. f must
  // not block.
  template <class F>
  std::invoke_result_t<F&, int> read_with(F&& f) {
    return call_with(poll_side::read, f);
  }
  template <class F>
  std::invoke_result_t<F&, int> write_with(F&& f) {
    return call_with(poll_side::write, f);
  }

 private:
  using two_sided_owner::two_sided_owner;
  using attempt = bool (*)(void* argument, int fd);  // false: it would block

  template <class F>
  std::invoke_result_t<F&, int> call_with(poll_side side, F& f) {
    using answer = std::invoke_result_t<F&, int>;
    struct calling {
      F& f;
      std::optional<answer> last;
    } c{f, std::nullopt};
    const int error = try_then_park(
        side,
        [](void* argument, int fd) {
          calling& to = *static_cast<calling*>(argument);
          to.last.emplace(to.f(fd));
          return to.last->error() != EAGAIN;
        },
        &c);
    if (error != 0) return sys::failure(error);
    return *std::move(c.last);
  }
  int try_then_park(poll_side side, attempt f, void* argument);
  absl::Status wait(poll_side side, const char* operation);
};

}  // namespace baton::net
