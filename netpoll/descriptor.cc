// The life of a descriptor.
//
//   attach    Take the number, get a poll descriptor from the slab, register with epoll. From here on edges come.
//   use       fd_mutex lock or reference; the loops of descriptor.h; unlock.
//   close     1. fd_mutex::close(): no new users; agents that queue for a lock fail.
//             2. Drop the contexts; after that set_cancelled() is not called any more.
//             3. poll_descriptor::close_begin(): agents that wait for an edge wake and fail; no deadline runs any more.
//             4. Wait until the last user is gone.
//             5. epoll DEL, recycle the poll descriptor, close(2). close(2) is called once, because on EINTR the number
//                is free already. It is a declared call, because a socket may linger. (release() leaves it out.)
//             6. Let all close() calls return.
//
// close() does everything that can block, and close() may switch. No other caller ends up with that work.
//
// Invariant of read_stream: if no agent is inside, the slot is nil only if the descriptor was empty at some point after
// the last edge was used up. An agent that leaves without knowing that marks the slot ready: after failures (they may
// have used up an edge on the way), full reads, the end of the stream.
//
// Cancellation: a context calls cancelled() on any thread. That call only sets flags and evicts, without a lock. So
// set_cancellation() may hold context_lock_ while it unsubscribes, which waits for a running call. Replaced contexts
// are destroyed outside the lock, because their destructor is foreign code.
//   - A subscription changes of_read and of_write only while it is not subscribed, so cancelled() reads them safely.
//   - If one side of a context of both gets its own, the context is subscribed for the other side before its flag could
//     be cleared. A flag is cleared only for the sides whose context is replaced.
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

#include <fcntl.h>
#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

namespace baton::net {

namespace {
// Only leak checkers look at it.
sched::platform::atomic<descriptor*> left_at_exit{nullptr};
}  // namespace

void descriptor::leave_at_exit() noexcept {
  // relaxed: no thread reads it.
  next_left_ = left_at_exit.exchange(this, mo::relaxed);
}

descriptor::~descriptor() {
  if (!close()) sched::fatal("a descriptor is destroyed that is in use");
}

int descriptor::attach(int fd, edges known) noexcept {
  sys::owned_fd owned(fd);
  return attach(owned, known);
}

int descriptor::attach(sys::owned_fd& fd, edges known) noexcept {
  if (fd_ >= 0 || poll_ != nullptr) sched::fatal("a descriptor is attached twice");
  int error = 0;
  epoll_poller* const poller = epoll_poller::get(&error);
  poll_descriptor* const pd = poller == nullptr ? nullptr : poll_descriptor::obtain();
  if (pd == nullptr) return error != 0 ? error : ENOMEM;
  const bool all_room = known == edges::udp || known == edges::local;
  error = poller->attach(fd.get(), *pd, all_room ? epoll_poller::sides::read : epoll_poller::sides::both);
  if (error != 0) {
    pd->close_begin();
    pd->recycle();
    return error;
  }
  fd_ = fd.release();
  edges_ = known;
  poll_ = pd;
  return 0;
}

int descriptor::adopt(int fd, edges known) noexcept {
  const auto flags = sys::fcntl(fd, F_GETFL);
  if (!flags) return flags.error();
  sys::owned_fd owned(fd);
  const int error = attach(owned, known);
  (void)owned.release();
  if (error != 0) return error;
  // A pidfd refuses O_NONBLOCK before Linux 5.10; it is not read.
  if ((*flags & O_NONBLOCK) == 0) (void)sys::fcntl(fd, F_SETFL, *flags | O_NONBLOCK);
  return 0;
}

int descriptor::watch_room(bool on) noexcept {
  int error = 0;
  epoll_poller* const poller = epoll_poller::get(&error);
  if (poller == nullptr) return error;
  return poller->change(fd_, *poll_, on ? epoll_poller::sides::both : epoll_poller::sides::read);
}

void descriptor::set_deadline(poll_side side, std::int64_t deadline_ns) {
  const fd_reference held(mutex_);
  if (held) poll_->set_deadline(side, deadline_ns);
}

void descriptor::set_deadlines(std::int64_t deadline_ns) {
  const fd_reference held(mutex_);
  if (held) poll_->set_deadlines(deadline_ns);
}

void descriptor::set_cancellation(const std::shared_ptr<cancellation>& c) { replace_contexts(true, true, c); }

void descriptor::set_cancellation(poll_side side, const std::shared_ptr<cancellation>& c) {
  replace_contexts(side == poll_side::read, side == poll_side::write, c);
}

void descriptor::replace_contexts(bool of_read, bool of_write, const std::shared_ptr<cancellation>& c) {
  const fd_reference held(mutex_);
  if (!held) return;
  std::shared_ptr<cancellation> former[2];
  sched::platform::lock_guard hold(context_lock_);
  // The closer takes the contexts away after it has set `closed`, so it takes these away, too.
  if (mutex_.is_closed()) return;
  const bool kept_by_writer = reader_.of_write && !of_write;
  if (kept_by_writer) subscribe(writer_, reader_.context, false, true);
  if (of_read || reader_.of_write) {
    if (reader_.context != nullptr) reader_.context->unsubscribe(reader_);
    former[0] = std::move(reader_.context);
  }
  if (of_write && writer_.context != nullptr) {
    writer_.context->unsubscribe(writer_);
    former[1] = std::move(writer_.context);
  }
  const bool kept_by_reader = reader_.of_write && !of_read;
  if (of_read) poll_->set_cancelled(poll_side::read, false);
  if (of_write) poll_->set_cancelled(poll_side::write, false);
  if (of_read) {
    subscribe(reader_, c, true, of_write);
  } else {
    if (kept_by_reader) subscribe(reader_, former[0], true, false);
    subscribe(writer_, c, false, true);
  }
}

void descriptor::subscribe(subscription& s, std::shared_ptr<cancellation> c, bool of_read, bool of_write) noexcept {
  s.context = std::move(c);
  s.of_read = of_read;
  s.of_write = of_write;
  if (s.context != nullptr && !s.context->subscribe(s)) fail_sides(s);
}

void descriptor::fail_sides(const subscription& s) noexcept {
  if (s.of_read) poll_->set_cancelled(poll_side::read, true);
  if (s.of_write) poll_->set_cancelled(poll_side::write, true);
}

void descriptor::tell_reader() noexcept {
  if (sched::agent* const who = poll_->slot(poll_side::read).post()) sched::ready(who);
}

void descriptor::pause(poll_side side, std::int64_t until_ns) noexcept {
  // The timer evicts without a flag: the agent returns from wait() and finds that the time has come.
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
    // Without memory for a timer the thread sleeps, in a declared call, and checks for a failure from time to time.
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

void descriptor::end_use() noexcept {
  std::shared_ptr<cancellation> former[2];
  {
    sched::platform::lock_guard hold(context_lock_);
    if (reader_.context != nullptr) reader_.context->unsubscribe(reader_);
    if (writer_.context != nullptr) writer_.context->unsubscribe(writer_);
    former[0].swap(reader_.context);
    former[1].swap(writer_.context);
  }
  poll_->close_begin();
}

void descriptor::deregister() noexcept {
  int error = 0;
  if (epoll_poller* const poller = epoll_poller::get(&error)) poller->detach(fd_);
  poll_->recycle();
}

void descriptor::close_number() noexcept {
  // Most closes are short, and the call's site knows it. A close that will be long says so; otherwise it would keep its
  // P until the monitor takes it.
  if (sys::detail::lingers(fd_)) {
    const baton::detail::call_scope<> scope(will_block);
    (void)sys::close(fd_);
  } else {
    (void)sys::close(fd_);
  }
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
        context = r.side == poll_side::read || reader_.of_write ? reader_.context : writer_.context;
      }
      // The context may have been replaced, or taken away by close(), since the operation failed.
      if (context == nullptr) return absl::CancelledError(describe(operation, object, "cancelled"));
      return context_status(context->error(), operation, object);
    }
  }
  return errno_status(r.error, operation, object);
}

}  // namespace baton::net
