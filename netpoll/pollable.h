// Public API: a descriptor of any kind that the kernel can poll: one that a library hands out (libpq, c-ares), inotify,
// a timerfd, a pidfd.
//
//   auto end = baton::net::pollable::adopt(baton::sys::pidfd_open(pid).value());
//   if (!end.ok()) return end.status();
//   absl::Status ended = end->wait_readable();
//
// Thread-safe: waits to read queue behind each other, and so do waits to write. close() may be called from anywhere.
// Only the owner may move a pollable, when no calls are under way.
#pragma once

#include <baton/netpoll/options.h>
#include <baton/netpoll/poll_descriptor.h>
#include <baton/sched/durations.h>
#include <baton/syscall/result.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>

namespace baton::net {

struct pollable_state;

class pollable {
 public:
  pollable() noexcept;  // not open
  pollable(pollable&&) noexcept;
  pollable& operator=(pollable&&) noexcept;  // Switches. Closes what was there
  ~pollable();                               // Switches. As close()

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

  // These never switch. From that point in time on waits of both sides fail, also those under way. time_point::max():
  // none. Any clock; rounded up, saturating. May throw std::bad_alloc.
  template <class Clock, class Duration>
  void set_deadline(const std::chrono::time_point<Clock, Duration>& when) {
    set_deadline_ns(detail::deadline_at(when));
  }
  // Once the context is done, waits fail with its error, until another context replaces it.
  template <cancellation_source Context>
  void set_context(const Context& c) {
    set_cancellation(c.as_cancellation());
  }
  void set_cancellation(const std::shared_ptr<cancellation>& c);

  // Switches. Ends the calls that are under way, waits until they have left, and closes the descriptor.
  void close();
  // Switches. As close(), but gives the number back, which then belongs to the caller; it stays non-blocking. Returns
  // -1 if it is not open.
  int release();
  // -1 if it is not open.
  [[nodiscard]] int native_handle() const noexcept;

 private:
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
  void set_deadline_ns(std::int64_t deadline_ns);

  struct closer {
    void operator()(pollable_state* s) const noexcept;
  };
  std::unique_ptr<pollable_state, closer> state_;
};

}  // namespace baton::net
