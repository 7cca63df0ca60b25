// The loop that waits is in descriptor.h. A wait without a call asks poll(2) in its place: edges tell of changes only.
#include <baton/netpoll/pollable.h>

#include <baton/netpoll/descriptor_owner_members.h>
#include <baton/netpoll/error_text.h>
#include <baton/syscall/files.h>

#include <poll.h>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace baton::net {

struct pollable_state {
  explicit pollable_state(int number) : name("descriptor " + std::to_string(number)) {}
  descriptor io;
  const std::string name;
};

namespace {

constexpr std::string_view kind = "descriptor";

sched::wait_reason reason_of(poll_side side) noexcept {
  return side == poll_side::read ? sched::wait_reason::descriptor_read : sched::wait_reason::descriptor_write;
}

}  // namespace

template class descriptor_owner<pollable_state>;
template class two_sided_owner<pollable_state>;

absl::StatusOr<pollable> pollable::adopt(int fd) try {
  auto state = std::make_unique<pollable_state>(fd);
  if (const int error = state->io.adopt(fd); error != 0) return errno_status(error, "adopt", state->name);
  return pollable(std::move(state));
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "adopt", kind);
}

int pollable::try_then_park(poll_side side, attempt f, void* argument) {
  if (state_ == nullptr) return EBADF;
  const io_result r = state_->io.transfer(
      side, reason_of(side),
      [f, argument](int fd, io_result&) { return f(argument, fd) ? io_step::done : io_step::again; },
      [](const io_result&) {});
  switch (r.failure) {
    case poll_failure::none: return 0;
    case poll_failure::expired: return ETIMEDOUT;
    case poll_failure::closed:
    case poll_failure::cancelled: return ECANCELED;
  }
  return 0;
}

absl::Status pollable::wait(poll_side side, const char* operation) {
  if (state_ == nullptr) return not_open(operation, kind);
  const auto events = static_cast<short>(side == poll_side::read ? POLLIN : POLLOUT);
  absl::Status error;
  (void)state_->io.transfer(
      side, reason_of(side),
      [events](int fd, io_result& r) {
        ::pollfd one{fd, events, 0};
        const auto ready = sys::poll({&one, 1}, 0);
        if (ready && *ready == 0) return io_step::again;
        r.error = ready.error();
        return io_step::done;
      },
      [&](const io_result& bad) { error = state_->io.status_of(bad, operation, state_->name); });
  return error;
}

absl::Status pollable::wait_readable() { return wait(poll_side::read, "wait to read"); }
absl::Status pollable::wait_writable() { return wait(poll_side::write, "wait to write"); }

}  // namespace baton::net
