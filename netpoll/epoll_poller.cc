// The epoll backend.
//
// Descriptors are registered once, for IN|OUT|RDHUP|PRI, edge-triggered. The kernel reports the whole state of a
// descriptor with every edge, so a read edge mostly says "writable", too; the slot handles that with one load. Those
// that would report room after each message (descriptor::edges) have OUT only while a write waits. EPOLL_CTL_MOD looks
// at the state after the change is in force. So room that comes after the failed try makes an edge: either MOD sees it,
// or the kernel reports it later.
//
// Breaking the blocking poll. An eventfd, registered level-triggered:
//   wake():           CAS wake_pending 0 -> 1; the winner writes the eventfd. It is async-signal-safe.
//   blocking poll:    sees the eventfd; reads it; then wake_pending := 0.
//   poll(0):          sees it, and leaves it as it is, for the blocking one.
// A wake() that loses the CAS came before wake_pending was reset, hence before the poll that resets it has returned:
// that return serves it. So at most one write is outstanding, and none is lost.
//
// Time-outs. epoll_pwait2 takes nanoseconds (Linux 5.11). Where it is missing or forbidden, epoll_wait gets
// milliseconds, rounded up, so that no poll returns over and over before a timer is due.
//
// fork(). The child shares the parent's epoll instance: a close in the child would, by way of EPOLL_CTL_DEL, unregister
// the *parent's* descriptor. So the child closes its copies of both descriptors at once and forgets them. Every later
// call finds -1 and fails with EBADF, harmlessly.
#include <baton/netpoll/epoll_poller.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/platform/thread.h>
#include <baton/syscall/above_standard.h>

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>
#include <new>

namespace baton::net {

namespace {

// Events taken from the kernel at once. Enough to make the call cheap per event; few enough that the first fiber of a
// batch does not wait long (and 1.5 KiB of stack).
constexpr int events_max = 128;

// Names the eventfd: no descriptor has this index.
constexpr std::uint64_t break_tag = UINT64_MAX;

// Longest time-out given to the kernel; the scheduler then polls again.
constexpr std::int64_t timeout_max_ns = std::int64_t{3600} * 1'000'000'000;

// Takes what a call returned, also -1. After an error, errno says why.
int own_descriptor(int fd) noexcept {
  if (fd < 0) return fd;
  auto own = sys::detail::above_standard(sys::owned_fd(fd));
  if (own) return own->release();
  errno = own.error();
  return -1;
}

sched::platform::spin_lock creation;
// Written once with `creation` held. release/acquire: a thread that sees the pointer sees the object.
sched::platform::atomic<epoll_poller*> the_poller{nullptr};

}  // namespace

epoll_poller* epoll_poller::get(int* error) noexcept {
  if (epoll_poller* const made = the_poller.load(mo::acquire)) return made;

  // Opened outside the lock. A thread that comes second closes its own descriptors again.
  const int epoll_fd = own_descriptor(::epoll_create1(EPOLL_CLOEXEC));
  const int event_fd = epoll_fd < 0 ? -1 : own_descriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.u64 = break_tag;
  if (event_fd < 0 || ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &e) != 0) {
    *error = errno;
    if (event_fd >= 0) ::close(event_fd);
    if (epoll_fd >= 0) ::close(epoll_fd);
    return nullptr;
  }
  auto* const fresh = new (std::nothrow) epoll_poller(epoll_fd, event_fd);
  epoll_poller* winner = nullptr;
  {
    sched::platform::lock_guard hold(creation);
    winner = the_poller.load(mo::relaxed);
    if (winner == nullptr && fresh != nullptr) the_poller.store(fresh, mo::release);
  }
  if (winner != nullptr || fresh == nullptr) {
    delete fresh;
    ::close(event_fd);
    ::close(epoll_fd);
    if (winner == nullptr) *error = ENOMEM;
    return winner;
  }
  ::pthread_atfork(nullptr, nullptr, [] { in_forked_child(); });
  sched::install_poller(fresh);
  return fresh;
}

void epoll_poller::in_forked_child() noexcept {
  epoll_poller* const p = the_poller.load(mo::acquire);
  if (p == nullptr) return;
  ::close(p->epoll_fd_.exchange(-1, mo::relaxed));
  ::close(p->event_fd_.exchange(-1, mo::relaxed));
}

int epoll_poller::attach(int fd, const poll_descriptor& pd, sides which) noexcept {
  return control(EPOLL_CTL_ADD, fd, pd, which);
}

int epoll_poller::change(int fd, const poll_descriptor& pd, sides which) noexcept {
  return control(EPOLL_CTL_MOD, fd, pd, which);
}

int epoll_poller::control(int operation, int fd, const poll_descriptor& pd, sides which) noexcept {
  epoll_event e{};
  e.events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  if (which == sides::both) e.events |= EPOLLOUT;
  e.data.u64 = pd.current_tag();
  return ::epoll_ctl(epoll_fd_.load(mo::relaxed), operation, fd, &e) == 0 ? 0 : errno;
}

void epoll_poller::detach(int fd) noexcept {
  epoll_event e{};  // ignored, but may not be null on old kernels
  ::epoll_ctl(epoll_fd_.load(mo::relaxed), EPOLL_CTL_DEL, fd, &e);
}

int epoll_poller::poll(std::int64_t timeout_ns, sched::fiber_list& readied) noexcept {
  const int saved_errno = errno;
  const int epoll_fd = epoll_fd_.load(mo::relaxed);
  if (timeout_ns > timeout_max_ns) timeout_ns = timeout_max_ns;
  timeout_ns = sched::platform::less_timer_slack(timeout_ns);

  epoll_event events[events_max];
  long n = -1;
  if (!coarse_.load(mo::relaxed) && timeout_ns > 0) {
    timespec limit;
    limit.tv_sec = static_cast<time_t>(timeout_ns / 1'000'000'000);
    limit.tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000);
    n = ::syscall(SYS_epoll_pwait2, epoll_fd, events, events_max, &limit, nullptr, std::size_t{0});
    if (n < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL)) coarse_.store(true, mo::relaxed);
  }
  if (n < 0 && (timeout_ns <= 0 || coarse_.load(mo::relaxed))) {
    const int ms = timeout_ns < 0 ? -1 : static_cast<int>((timeout_ns + 999'999) / 1'000'000);
    n = ::epoll_wait(epoll_fd, events, events_max, ms);
  }
  if (n < 0 && errno != EINTR) {
    // EBADF in a forked child, which must not ask for anything any more. Everything else is a bug here.
    if (errno != EBADF || epoll_fd >= 0) sched::fatal("epoll_wait failed with errno %d", errno);
    n = 0;
  }

  int handled = 0;
  for (long i = 0; i < n; ++i) {
    const epoll_event& e = events[i];
    if (e.data.u64 == break_tag) {
      if (timeout_ns == 0) continue;
      std::uint64_t count = 0;
      // EAGAIN means that it was reset already.
      [[maybe_unused]] const ssize_t got = ::read(event_fd_.load(mo::relaxed), &count, sizeof count);
      // seq_cst: pairs with wake()'s compare-and-swap.
      wake_pending_.store(0, mo::seq_cst);
      ++handled;
      continue;
    }
    poll_descriptor* const pd = poll_descriptor::find(e.data.u64);
    if (pd == nullptr) continue;
    constexpr std::uint32_t hung_up = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;
    pd->post((e.events & (EPOLLIN | hung_up)) != 0, (e.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0,
             (e.events & hung_up) != 0, readied);
    ++handled;
  }
  errno = saved_errno;
  return handled;
}

void epoll_poller::wake() noexcept {
  std::uint32_t expected = 0;
  // seq_cst: pairs with the reset in poll(), and orders what the caller published before the wake.
  if (!wake_pending_.compare_exchange_strong(expected, 1, mo::seq_cst, mo::seq_cst)) return;
  const int saved_errno = errno;
  const std::uint64_t one = 1;
  while (::write(event_fd_.load(mo::relaxed), &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = saved_errno;
}

}  // namespace baton::net
