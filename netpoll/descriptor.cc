// The life of a descriptor.
//
//   attach    take the number, a poll descriptor from the slab, register with epoll. From here on
//             edges come.
//   use       fd_mutex lock or reference; the loops of descriptor.h; unlock
//   close     1. fd_mutex::close(): no new users; those who queue for a lock fail
//             2. drop the context; after that set_cancelled() comes no more
//             3. poll_descriptor::close_begin(): those who wait in the kernel's stead wake and fail;
//                no deadline runs any more
//             4. wait until the last user is gone
//             5. epoll DEL, close(2) (once: on EINTR the number is free already; declared, since a socket may
//                linger), recycle the poll descriptor
//             6. let all close() calls return
//
// All that can block is done by close(), which may switch; nobody else ends up with it.
//
// Invariant of read_stream: the slot is nil when nobody is inside only if the descriptor was empty at
// some point after the last edge was used up. Whoever leaves without knowing that marks it ready:
// failures (they may have used up an edge on the way), full reads, the end of the stream.
//
// Cancellation: a context calls cancelled() on any thread. It only sets a flag and evicts, without a
// lock; so set_cancellation() may hold context_lock_ while it unsubscribes, which waits for a running
// call. Contexts that are replaced are destroyed outside the lock: their destructor is not ours.
#include <baton/netpoll/descriptor.h>

#include <baton/netpoll/epoll_poller.h>
#include <baton/netpoll/error_text.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/timer.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/files.h>
#include <baton/syscall/lingers.h>
#include <baton/syscall/time.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

namespace baton::net {

namespace {
// Nobody looks at it but checkers of leaks.
sched::platform::atomic<descriptor*> left_at_exit{nullptr};
}  // namespace

void descriptor::leave_at_exit() noexcept {
  // relaxed: nobody reads it.
  next_left_ = left_at_exit.exchange(this, mo::relaxed);
}

descriptor::~descriptor() {
  if (!close()) sched::fatal("a descriptor is destroyed that is in use");
}

int descriptor::attach(int fd, short_reads meaning) noexcept {
  sys::owned_fd owned(fd);
  return attach(owned, meaning);
}

int descriptor::attach(sys::owned_fd& fd, short_reads meaning) noexcept {
  if (fd_ >= 0 || poll_ != nullptr) sched::fatal("a descriptor is attached twice");
  int error = 0;
  epoll_poller* const poller = epoll_poller::get(&error);
  poll_descriptor* const pd = poller == nullptr ? nullptr : poll_descriptor::obtain();
  if (pd == nullptr) return error != 0 ? error : ENOMEM;
  error = poller->attach(fd.get(), *pd);
  if (error != 0) {
    pd->close_begin();
    pd->recycle();
    return error;
  }
  fd_ = fd.release();
  short_reads_ = meaning;
  poll_ = pd;
  return 0;
}

void descriptor::set_deadline(poll_side side, std::int64_t deadline_ns) {
  const fd_reference held(mutex_);
  if (held) poll_->set_deadline(side, deadline_ns);
}

void descriptor::set_deadlines(std::int64_t deadline_ns) {
  const fd_reference held(mutex_);
  if (held) poll_->set_deadlines(deadline_ns);
}

void descriptor::set_cancellation(std::shared_ptr<cancellation> c) {
  const fd_reference held(mutex_);
  if (!held) return;
  {
    sched::platform::lock_guard hold(context_lock_);
    // The closer takes the context away after it has set `closed`, so this one is taken away, too.
    if (!mutex_.is_closed()) {
      context_.swap(c);
      if (c != nullptr) c->unsubscribe(*this);
      poll_->set_cancelled(false);
      if (context_ != nullptr && !context_->subscribe(*this)) poll_->set_cancelled(true);
    }
  }
}

void descriptor::cancelled() noexcept { poll_->set_cancelled(true); }

void descriptor::pause(poll_side side, std::int64_t until_ns) noexcept {
  // The timer evicts without a flag: the agent comes back from wait(), and finds the time has come.
  struct alarm {
    static void ring(void* arg, std::uint64_t is_write, sched::fiber_list& readied) noexcept {
      auto* const pd = static_cast<poll_descriptor*>(arg);
      if (sched::agent* const who = pd->slot(is_write != 0 ? poll_side::write : poll_side::read).evict()) {
        sched::ready_into(who, readied);
      }
    }
  };
  sched::timer_handle timer;
  try {
    timer = sched::arm_timer(until_ns, alarm::ring, poll_, side == poll_side::write ? 1 : 0);
  } catch (const std::bad_alloc&) {
    // No memory for a timer: the thread sleeps, in a declared call, and looks about every now and then.
    constexpr std::int64_t look_every_ns = 10'000'000;
    while (poll_->failure(side) == poll_failure::none) {
      const std::int64_t left = until_ns - sched::platform::now_ns();
      if (left <= 0) return;
      const baton::detail::call_scope<> scope(will_block);
      (void)sys::nanosleep(std::chrono::nanoseconds(std::min(left, look_every_ns)));
    }
    return;
  }
  while (poll_->failure(side) == poll_failure::none && sched::platform::now_ns() < until_ns) {
    poll_->wait(side, sched::wait_reason::retry);
  }
  sched::cancel_timer(timer);
}

bool descriptor::close() noexcept {
  if (poll_ == nullptr) return true;
  return mutex_.close(
      [this]() noexcept {
        std::shared_ptr<cancellation> context;
        {
          sched::platform::lock_guard hold(context_lock_);
          context.swap(context_);
          if (context != nullptr) context->unsubscribe(*this);
        }
        poll_->close_begin();
      },
      [this]() noexcept { close_number(); });
}

void descriptor::close_number() noexcept {
  int error = 0;
  if (epoll_poller* const poller = epoll_poller::get(&error)) poller->detach(fd_);
  // Most closes are short, and the call's site knows it. One that will not be is asked for: else it keeps its P until
  // the monitor takes it.
  if (sys::detail::lingers(fd_)) {
    const baton::detail::call_scope<> scope(will_block);
    (void)sys::close(fd_);
  } else {
    (void)sys::close(fd_);
  }
  poll_->recycle();
}

absl::Status descriptor::status_of(const io_result& r, const char* operation, const std::string& object) const {
  switch (r.failure) {
    case poll_failure::none: break;
    case poll_failure::closed: return absl::CancelledError(describe(operation, object, "closed"));
    case poll_failure::expired: return absl::DeadlineExceededError(describe(operation, object, "deadline exceeded"));
    case poll_failure::cancelled: {
      std::shared_ptr<cancellation> context;
      {
        sched::platform::lock_guard hold(context_lock_);
        context = context_;
      }
      // The context may have been replaced, or taken away by close(), since the operation failed.
      if (context == nullptr) return absl::CancelledError(describe(operation, object, "cancelled"));
      return context_status(context->error(), operation, object);
    }
  }
  return errno_status(r.error, operation, object);
}

}  // namespace baton::net
