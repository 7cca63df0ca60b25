// One ring for the process, and one thread that alone touches it.
//
//   a fiber                                       the ring's thread
//   1. queues its transfer, under the lock        1. takes what is queued, under the lock, and puts it into the ring,
//   2. was the thread asleep? asleep := false,       until nothing is queued: asleep := true
//      and write to the eventfd                   2. io_uring_enter: hands them to the kernel, and waits until one
//   3. parks                                         transfer (or the poll of the eventfd, which is one, too) is done
//                                                 3. asleep := false; readies the fibers of all that are done
//
// `asleep` changes under the lock, so no wake-up is lost, and while the thread is awake no caller makes a system call
// for it. Under load, one io_uring_enter hands over and takes back many transfers.
//
// The thread is started by the first transfer, and ends after ten idle seconds. What is queued at once is at most
// transfers_max; the rest stays in the queue, so the completion queue never overflows.
//
// Why a thread, and not the Ms? The kernel finishes a transfer on the thread that submitted it (task work). An M that
// submits and then runs a fiber in a call would get interrupted by that: epoll_wait, semop and sockets with time-outs
// return EINTR then, to code that has no handler and never sees EINTR otherwise. If the M waits in the kernel without
// being interruptible, the transfers of others wait with it. And when an M ends, the kernel cancels what it submitted.
// A ring for each P has the same faults. With IORING_SETUP_SQPOLL the kernel has such a thread of its own; but that
// thread spins for as long as it has to answer quickly. Our thread costs two more switches for a transfer that comes
// alone. They cost less than a handoff of the P, and much less than the device takes.
//
// Worker threads: the kernel gives the transfers that a file system cannot make without waiting to threads of its own.
// They count as threads of this process, and there are at most 16 (ring_queues.cc). The callers pass only files that
// know RWF_NOWAIT, so that is rare.
//
// Refused (seccomp, io_uring_disabled, Linux without it): the thread records it, fails the queued transfers with
// ENOSYS, and ends. It is not started again. Where only a descriptor, memory or a thread is missing, the queued
// transfers fail as well, but a transfer that comes a second later tries again.
//
// A filter that is set later: io_uring_enter fails. The thread takes back the transfers that the kernel has not taken,
// and reaps the others until there is none. It needs no call of io_uring for that: the queues are in memory, and the
// kernel completes transfers whenever the thread returns from a call of any kind. With IORING_SETUP_DEFER_TASKRUN it
// would complete them in io_uring_enter alone, so the ring does without that.
//
// fork: the child has no such thread, and must not touch the ring, which is the parent's. It does not inherit the
// mapping, closes its copy of the descriptor, and finds the ring refused.
#include <baton/netpoll/ring.h>

#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/ring_queues.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/wait_reason.h>
#include <baton/syscall/above_standard.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/nonblocking.h>

#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <utility>

namespace baton::net::ring {

namespace {

namespace mo = sched::platform::mo;
namespace platform = sched::platform;

struct transfer {
  std::uint8_t code = 0;
  int fd = -1;
  std::uint64_t address = 0;
  std::uint32_t size = 0;
  std::uint64_t offset = 0;
  std::uint32_t flags = 0;
  int result = 0;
  sched::agent* who = nullptr;
  transfer* next = nullptr;
};

struct transfer_list {
  transfer* first = nullptr;
  transfer* last = nullptr;
  void push_back(transfer* t) noexcept {
    t->next = nullptr;
    (first != nullptr ? last->next : first) = t;
    last = t;
  }
  transfer* pop_front() noexcept {
    transfer* const t = first;
    if (t != nullptr) first = t->next;
    return t;
  }
  void append(transfer_list other) noexcept {
    if (other.first == nullptr) return;
    (first != nullptr ? last->next : first) = other.first;
    last = other.last;
  }
};

void fail(transfer_list& all, int error) noexcept {
  while (transfer* const t = all.pop_front()) {
    t->result = -error;
    sched::ready(t->who);  // *t is gone
  }
}

enum class life : std::uint8_t { none, runs, refused };

struct state {
  platform::spin_lock lock;
  life is ABSL_GUARDED_BY(lock) = life::none;
  bool asleep ABSL_GUARDED_BY(lock) = false;
  bool ends ABSL_GUARDED_BY(lock) = false;
  bool has_thread ABSL_GUARDED_BY(lock) = false;  // which end() may join; otherwise it detaches itself
  platform::thread_handle thread ABSL_GUARDED_BY(lock){};
  std::uint64_t pending ABSL_GUARDED_BY(lock) = 0;  // queued, or with the kernel
  transfer_list queued ABSL_GUARDED_BY(lock);
  // Made by the first transfer, and never closed. release/acquire: `refused` is a hint, the number is complete.
  platform::atomic<int> bell{-1};
  platform::atomic<bool> refused{false};
  platform::atomic<int> ring_fd{-1};
  platform::atomic<std::uint64_t> done{0};
  // Before this time (CLOCK_MONOTONIC) no transfer starts the thread again; 0: any may. relaxed: a hint.
  platform::atomic<std::int64_t> not_before_ns{0};
};

// Never destroyed: the thread uses it until the process is gone.
union never_destroyed {
  constexpr never_destroyed() noexcept : value() {}
  ~never_destroyed() {}
  state value;
};
constinit never_destroyed holder;
state& s = holder.value;

void in_forked_child() noexcept {
  s.refused.store(true, mo::relaxed);
  const int fd = s.ring_fd.exchange(-1, mo::relaxed);
  if (fd >= 0) ::close(fd);
}

void ring_bell() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(sys::nb::write(s.bell.load(mo::relaxed), const_bytes(&one, sizeof one)));
}

// The ring's thread, at its end.
void leave(life as) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  s.is = as;
  if (std::exchange(s.has_thread, false)) platform::detach_thread(s.thread);
}

// There is no ring, or no thread, at present. Fails what is queued.
void not_now(bool on_the_thread) noexcept {
  constexpr std::int64_t pause_ns = 1'000'000'000;
  s.not_before_ns.store(platform::now_ns() + pause_ns, mo::relaxed);
  transfer_list all;
  {
    const platform::lock_guard hold(s.lock);
    all = std::exchange(s.queued, {});
    s.pending = 0;
    if (on_the_thread) {
      leave(life::none);
    } else {
      s.is = life::none;
    }
  }
  fail(all, ENOSYS);
}

[[nodiscard]] bool is_too_early() noexcept {
  const std::int64_t when = s.not_before_ns.load(mo::relaxed);
  return when != 0 && platform::now_ns() < when;
}

// What the ring's thread does.
class server {
 public:
  void run() noexcept;

 private:
  static constexpr ::timespec millisecond{0, 1'000'000};
  enum class next : std::uint8_t { fill, wait, end };
  next take() noexcept;
  [[nodiscard]] bool fill() noexcept;
  void reap() noexcept;
  void refuse() noexcept;
  void give_up() noexcept;
  void forget_number() noexcept;

  queues q_;
  transfer_list waiting_;        // taken from the queue, not in the ring
  unsigned in_kernel_ = 0;       // transfers
  bool bell_is_polled_ = false;  // a poll of the eventfd is in the ring
};

// After `wait` the thread counts as asleep.
server::next server::take() noexcept {
  const platform::lock_guard hold(s.lock);
  waiting_.append(std::exchange(s.queued, {}));
  if (waiting_.first != nullptr && in_kernel_ < transfers_max) return next::fill;
  if (s.pending == 0 && s.ends) {
    leave(life::none);
    return next::end;
  }
  s.asleep = true;
  return next::wait;
}

// Returns false if the submission queue is full.
bool server::fill() noexcept {
  if (!bell_is_polled_) {
    io_uring_sqe* const e = q_.next_entry();
    if (e == nullptr) return false;
    e->opcode = IORING_OP_POLL_ADD;
    e->fd = s.bell.load(mo::relaxed);
    e->poll32_events = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? POLLIN : POLLIN << 16;
    bell_is_polled_ = true;
  }
  while (waiting_.first != nullptr && in_kernel_ < transfers_max) {
    io_uring_sqe* const e = q_.next_entry();
    if (e == nullptr) return false;
    transfer* const t = waiting_.pop_front();
    e->opcode = t->code;
    e->fd = t->fd;
    e->addr = t->address;
    e->len = t->size;
    e->off = t->offset;
    e->cancel_flags = t->flags;
    e->user_data = reinterpret_cast<std::uint64_t>(t);
    ++in_kernel_;
  }
  return true;
}

void server::reap() noexcept {
  unsigned n = 0;
  transfer_list finished;
  q_.reap([&](std::uint64_t data, int result) {
    if (data == 0) {
      std::uint64_t count = 0;
      static_cast<void>(sys::nb::read(s.bell.load(mo::relaxed), bytes(&count, sizeof count)));
      bell_is_polled_ = false;
      return;
    }
    auto* const t = reinterpret_cast<transfer*>(data);
    t->result = result;
    finished.push_back(t);
    ++n;
  });
  in_kernel_ -= n;
  {
    const platform::lock_guard hold(s.lock);
    s.asleep = false;
    s.pending -= n;
  }
  s.done.fetch_add(n, mo::relaxed);
  while (transfer* const t = finished.pop_front()) sched::ready(t->who);  // *t is gone
}

// The kernel takes no more. What it has got, it finishes.
void server::refuse() noexcept {
  s.refused.store(true, mo::relaxed);
  transfer_list all;
  q_.take_back([&](std::uint64_t data) {
    if (data == 0) return;
    all.push_back(reinterpret_cast<transfer*>(data));
    --in_kernel_;
  });
  all.append(std::exchange(waiting_, {}));
  {
    const platform::lock_guard hold(s.lock);
    all.append(std::exchange(s.queued, {}));
    s.pending = in_kernel_;
    leave(life::refused);
  }
  fail(all, ENOSYS);
}

// The kernel accepts nothing from now on.
void server::give_up() noexcept {
  refuse();
  ::timespec pause = millisecond;
  for (; in_kernel_ > 0; reap()) {
    ::nanosleep(&pause, nullptr);
    pause.tv_nsec = std::min(2 * pause.tv_nsec, 20 * millisecond.tv_nsec);
  }
  forget_number();
}

void server::forget_number() noexcept {
  // A thread that has started since has a ring of its own. The child of a fork must find one that is open.
  int mine = q_.fd();
  s.ring_fd.compare_exchange_strong(mine, -1, mo::relaxed, mo::relaxed);
}

void server::run() noexcept {
  if (const int error = q_.open(); error != 0) {
    const bool passes = error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN;
    return passes ? not_now(true) : give_up();
  }
  s.ring_fd.store(q_.fd(), mo::relaxed);
  for (;;) {
    next what = next::fill;
    do {
      if (!fill()) break;
      what = take();
    } while (what == next::fill);
    if (what == next::end) break;
    const int error = q_.submit_and_wait(what == next::wait);
    reap();
    switch (error) {
      case 0:
      case EINTR: break;
      case ETIME:
        if (in_kernel_ == 0) {
          const platform::lock_guard hold(s.lock);
          s.ends = true;  // unless something is queued
        }
        break;
      case EAGAIN:
      case EBUSY:
      case ENOMEM: ::nanosleep(&millisecond, nullptr); break;
      default: return give_up();  // a filter of system calls
    }
  }
  forget_number();
}

void serve(void*) {
  {
    const platform::lock_guard hold(s.lock);
    s.thread = ::pthread_self();
    s.has_thread = true;
    s.ends = false;
  }
  server it;
  it.run();
}

[[nodiscard]] bool make_bell() noexcept {
  if (s.bell.load(mo::acquire) >= 0) return true;
  auto fresh = sys::detail::above_standard(sys::owned_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  if (!fresh || !*fresh) return false;
  // Before the bell is there, and with it perhaps a ring. Called twice, the handler does nothing more.
  if (::pthread_atfork(nullptr, nullptr, [] { in_forked_child(); }) != 0) return false;
  int none = -1;
  if (s.bell.compare_exchange_strong(none, fresh->get(), mo::acq_rel, mo::acquire)) (void)fresh->release();
  return true;
}

// Starts the thread for what is queued. Only the caller that changed `is` to `runs` comes here.
void start() noexcept {
  platform::thread_handle its_own{};  // which it keeps itself
  if (platform::start_thread(serve, nullptr, "baton-ring", platform::signals_of_thread::blocked, &its_own) != 0) {
    not_now(false);
  }
}

sys::result<std::size_t> run(transfer& t, sched::wait_reason why) noexcept {
  if (!is_there() || is_too_early() || !make_bell()) return sys::failure(ENOSYS);
#if BATON_TSAN
  __tsan_release(&sys::detail::kernel_order);
#endif
  sched::agent* const self = sched::current_agent();
  t.who = self;
  bool starts = false;
  bool wakes = false;
  bool queued = false;
  sched::prepare_park(self, why);
  {
    const platform::lock_guard hold(s.lock);
    queued = s.is != life::refused;
    if (queued) {
      s.queued.push_back(&t);
      ++s.pending;
      starts = s.is == life::none;
      s.is = life::runs;
      wakes = std::exchange(s.asleep, false);
    }
  }
  if (!queued) return sched::cancel_park(self), sys::failure(ENOSYS);
  if (starts) start();
  if (wakes) ring_bell();
  sched::park(self);
#if BATON_TSAN
  __tsan_acquire(&sys::detail::kernel_order);
#endif
  if (t.result < 0) return sys::failure(-t.result);
  return static_cast<std::size_t>(t.result);
}

sys::result<std::size_t> transfer_at(std::uint8_t code, int fd, const void* memory, std::size_t size, off_t offset,
                                     sched::wait_reason why) noexcept {
  transfer t;
  t.code = code;
  t.fd = fd;
  t.address = reinterpret_cast<std::uint64_t>(memory);
  t.size = static_cast<std::uint32_t>(std::min(size, call_max));
  t.offset = static_cast<std::uint64_t>(offset);
  return run(t, why);
}

}  // namespace

bool is_there() noexcept { return !s.refused.load(mo::relaxed); }

std::uint64_t transfers() noexcept { return s.done.load(mo::relaxed); }

sys::result<std::size_t> read(int fd, bytes into, off_t offset) noexcept {
  return transfer_at(IORING_OP_READ, fd, into.data(), into.size(), offset, sched::wait_reason::descriptor_read);
}

sys::result<std::size_t> write(int fd, const_bytes from, off_t offset) noexcept {
  return transfer_at(IORING_OP_WRITE, fd, from.data(), from.size(), offset, sched::wait_reason::descriptor_write);
}

void cancel(int fd) noexcept {
  transfer t;
  t.code = IORING_OP_ASYNC_CANCEL;
  t.fd = fd;
  t.flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
  static_cast<void>(run(t, sched::wait_reason::descriptor_write));
}

void end() noexcept {
  platform::thread_handle thread{};
  {
    const platform::lock_guard hold(s.lock);
    if (!s.has_thread || s.pending != 0) return;
    s.has_thread = false;
    thread = s.thread;
    s.ends = true;
    s.asleep = false;
  }
  ring_bell();
  platform::join_thread(thread);
}

}  // namespace baton::net::ring
