// The life of a descriptor.
//
//   attach    take the number, a poll descriptor from the slab, register with epoll. From here on
//             edges come.
//   use       fd_mutex lock or reference; the loops of descriptor.h; unlock
//   close     1. fd_mutex::close(): no new users; those who queue for a lock fail
//             2. drop the context; after that set_cancelled() comes no more
//             3. poll_descriptor::close_begin(): those who wait in the kernel's stead wake and fail;
//                no deadline runs any more
//             4. drop the closer's reference, and wait until the last user is gone
//   last user epoll DEL, close(2) (once: on EINTR the number is free already), recycle the poll
//             descriptor, and let the closer go
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
#include <baton/sched/fatal.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/timer.h>

#include <unistd.h>
#include <utility>

namespace baton::net {

descriptor::~descriptor() { close(); }

int descriptor::attach(int fd, short_reads meaning) noexcept {
  if (fd_ >= 0 || poll_ != nullptr) sched::fatal("a descriptor is attached twice");
  int error = 0;
  epoll_poller* const poller = epoll_poller::get(&error);
  poll_descriptor* const pd = poller == nullptr ? nullptr : poll_descriptor::obtain();
  if (pd == nullptr) {
    ::close(fd);
    return error != 0 ? error : ENOMEM;
  }
  error = poller->attach(fd, *pd);
  if (error != 0) {
    pd->close_begin();
    pd->recycle();
    ::close(fd);
    return error;
  }
  fd_ = fd;
  short_reads_ = meaning;
  poll_ = pd;
  return 0;
}

void descriptor::set_deadline(poll_side side, std::int64_t deadline_ns) {
  if (!mutex_.acquire()) return;
  struct give_back {
    descriptor& self;
    ~give_back() {
      if (self.mutex_.release() == fd_mutex::released::last) self.finish_close();
    }
  } held{*this};
  poll_->set_deadline(side, deadline_ns);
}

void descriptor::set_cancellation(std::shared_ptr<cancellation> c) {
  if (!mutex_.acquire()) return;
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
  if (mutex_.release() == fd_mutex::released::last) finish_close();
}

void descriptor::cancelled() noexcept { poll_->set_cancelled(true); }

void descriptor::pause(poll_side side, std::int64_t until_ns) noexcept {
  // The timer evicts without a flag: the strand comes back from wait(), and finds the time has come.
  struct alarm {
    static void ring(void* arg, std::uint64_t is_write, sched::fiber_list& readied) noexcept {
      auto* const pd = static_cast<poll_descriptor*>(arg);
      if (sched::strand* const who = pd->slot(is_write != 0 ? poll_side::write : poll_side::read).evict()) {
        sched::ready_into(who, readied);
      }
    }
  };
  sched::timer_handle timer;
  try {
    timer = sched::arm_timer(until_ns, alarm::ring, poll_, side == poll_side::write ? 1 : 0);
  } catch (const std::bad_alloc&) {
    sched::yield();  // the caller tries again at once, which is all that can be done
    return;
  }
  while (poll_->failure(side) == poll_failure::none && sched::platform::now_ns() < until_ns) {
    poll_->wait(side, sched::wait_reason::retry);
  }
  sched::cancel_timer(timer);
}

void descriptor::close() noexcept {
  if (poll_ == nullptr || !mutex_.close()) return;
  std::shared_ptr<cancellation> context;
  {
    sched::platform::lock_guard hold(context_lock_);
    context.swap(context_);
    if (context != nullptr) context->unsubscribe(*this);
  }
  poll_->close_begin();
  if (mutex_.release() == fd_mutex::released::last) {
    close_number();
  } else {
    mutex_.await_drained();
  }
}

void descriptor::finish_close() noexcept {
  close_number();
  mutex_.drained();
}

void descriptor::close_number() noexcept {
  int error = 0;
  if (epoll_poller* const poller = epoll_poller::get(&error)) poller->detach(fd_);
  ::close(fd_);
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
