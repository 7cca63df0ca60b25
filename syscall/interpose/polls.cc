// The calls that wait for one of several descriptors. They are tried first without waiting, for the reason that
// sockets.cc gives. A try with a signal mask lets the pending signals of that mask in, as the call does.
#include "call.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <csignal>
#include <cstring>
#include <ctime>

namespace baton::interpose {

namespace {

[[gnu::always_inline]] inline bool is_zero(const ::timespec* t) noexcept {
  return t != nullptr && t->tv_sec == 0 && t->tv_nsec == 0;
}
constexpr ::timespec no_time{0, 0};

// The sets of a select(), which a try overwrites.
class kept_sets {
 public:
  kept_sets(int n, ::fd_set* readable, ::fd_set* writable, ::fd_set* exceptional) noexcept
      : sets_{readable, writable, exceptional} {
    // A program may use sets with more room than fd_set has: these are not tried.
    if (n < 0 || n > FD_SETSIZE) return;
    bytes_ = static_cast<std::size_t>(n + 63) / 64 * 8;
    for (int i = 0; i < 3; ++i) {
      if (sets_[i] != nullptr) std::memcpy(&copies_[i], sets_[i], bytes_);
    }
    kept_ = true;
  }
  [[nodiscard]] bool kept() const noexcept { return kept_; }
  void restore() const noexcept {
    for (int i = 0; i < 3; ++i) {
      if (sets_[i] != nullptr) std::memcpy(sets_[i], &copies_[i], bytes_);
    }
  }

 private:
  ::fd_set* const sets_[3];
  ::fd_set copies_[3];
  std::size_t bytes_ = 0;
  bool kept_ = false;
};

}  // namespace

BATON_NEXT(int, poll, (::pollfd * fds, ::nfds_t n, int timeout))
int wrap_poll(::pollfd* fds, ::nfds_t n, int timeout) {
  if (!may_be_on_fiber() || timeout == 0) return next_poll()(fds, n, timeout);
  if (n != 0 && counts()) {
    if (const int ready = next_poll()(fds, n, 0); ready != 0) return ready;
  }
  const declared call(BATON_SITE(poll));
  return next_poll()(fds, n, timeout);
}

BATON_NEXT(int, __poll_chk, (::pollfd * fds, ::nfds_t n, int timeout, std::size_t room))
int wrap___poll_chk(::pollfd* fds, ::nfds_t n, int timeout, std::size_t room) {
  if (!may_be_on_fiber() || timeout == 0) return next___poll_chk()(fds, n, timeout, room);
  if (n != 0 && counts()) {
    if (const int ready = next___poll_chk()(fds, n, 0, room); ready != 0) return ready;
  }
  const declared call(BATON_SITE(poll));
  return next___poll_chk()(fds, n, timeout, room);
}

BATON_NEXT(int, ppoll, (::pollfd * fds, ::nfds_t n, const ::timespec* timeout, const ::sigset_t* mask))
int wrap_ppoll(::pollfd* fds, ::nfds_t n, const ::timespec* timeout, const ::sigset_t* mask) {
  if (!may_be_on_fiber() || is_zero(timeout)) return next_ppoll()(fds, n, timeout, mask);
  if (n != 0 && counts()) {
    if (const int ready = next_ppoll()(fds, n, &no_time, mask); ready != 0) return ready;
  }
  const declared call(BATON_SITE(ppoll));
  return next_ppoll()(fds, n, timeout, mask);
}

BATON_NEXT(int, __ppoll_chk,
           (::pollfd * fds, ::nfds_t n, const ::timespec* timeout, const ::sigset_t* mask, std::size_t room))
int wrap___ppoll_chk(::pollfd* fds, ::nfds_t n, const ::timespec* timeout, const ::sigset_t* mask, std::size_t room) {
  if (!may_be_on_fiber() || is_zero(timeout)) return next___ppoll_chk()(fds, n, timeout, mask, room);
  if (n != 0 && counts()) {
    if (const int ready = next___ppoll_chk()(fds, n, &no_time, mask, room); ready != 0) return ready;
  }
  const declared call(BATON_SITE(ppoll));
  return next___ppoll_chk()(fds, n, timeout, mask, room);
}

BATON_NEXT(int, select, (int n, ::fd_set* readable, ::fd_set* writable, ::fd_set* exceptional, ::timeval* timeout))
int wrap_select(int n, ::fd_set* readable, ::fd_set* writable, ::fd_set* exceptional, ::timeval* timeout) {
  if (!may_be_on_fiber() || (timeout != nullptr && timeout->tv_sec == 0 && timeout->tv_usec == 0)) {
    return next_select()(n, readable, writable, exceptional, timeout);
  }
  if (n != 0 && counts()) {
    if (const kept_sets sets(n, readable, writable, exceptional); sets.kept()) {
      ::timeval at_once{0, 0};
      if (const int ready = next_select()(n, readable, writable, exceptional, &at_once); ready != 0) return ready;
      sets.restore();
    }
  }
  const declared call(BATON_SITE(select));
  return next_select()(n, readable, writable, exceptional, timeout);
}

BATON_NEXT(int, pselect,
           (int n, ::fd_set* readable, ::fd_set* writable, ::fd_set* exceptional, const ::timespec* timeout,
            const ::sigset_t* mask))
int wrap_pselect(int n, ::fd_set* readable, ::fd_set* writable, ::fd_set* exceptional, const ::timespec* timeout,
                 const ::sigset_t* mask) {
  if (!may_be_on_fiber() || is_zero(timeout)) {
    return next_pselect()(n, readable, writable, exceptional, timeout, mask);
  }
  if (n != 0 && counts()) {
    if (const kept_sets sets(n, readable, writable, exceptional); sets.kept()) {
      const int ready = next_pselect()(n, readable, writable, exceptional, &no_time, mask);
      if (ready != 0) return ready;
      sets.restore();
    }
  }
  const declared call(BATON_SITE(pselect));
  return next_pselect()(n, readable, writable, exceptional, timeout, mask);
}

BATON_NEXT(int, epoll_wait, (int fd, ::epoll_event* events, int room, int timeout))
int wrap_epoll_wait(int fd, ::epoll_event* events, int room, int timeout) {
  if (!may_be_on_fiber() || timeout == 0) return next_epoll_wait()(fd, events, room, timeout);
  if (counts()) {
    if (const int ready = next_epoll_wait()(fd, events, room, 0); ready != 0) return ready;
  }
  const declared call(BATON_SITE(epoll_wait));
  return next_epoll_wait()(fd, events, room, timeout);
}

BATON_NEXT(int, epoll_pwait, (int fd, ::epoll_event* events, int room, int timeout, const ::sigset_t* mask))
int wrap_epoll_pwait(int fd, ::epoll_event* events, int room, int timeout, const ::sigset_t* mask) {
  if (!may_be_on_fiber() || timeout == 0) return next_epoll_pwait()(fd, events, room, timeout, mask);
  if (counts()) {
    if (const int ready = next_epoll_pwait()(fd, events, room, 0, mask); ready != 0) return ready;
  }
  const declared call(BATON_SITE(epoll_pwait));
  return next_epoll_pwait()(fd, events, room, timeout, mask);
}

BATON_NEXT(int, epoll_pwait2,
           (int fd, ::epoll_event* events, int room, const ::timespec* timeout, const ::sigset_t* mask))
int wrap_epoll_pwait2(int fd, ::epoll_event* events, int room, const ::timespec* timeout, const ::sigset_t* mask) {
  if (!may_be_on_fiber() || is_zero(timeout)) return next_epoll_pwait2()(fd, events, room, timeout, mask);
  if (counts()) {
    if (const int ready = next_epoll_pwait2()(fd, events, room, &no_time, mask); ready != 0) return ready;
  }
  const declared call(BATON_SITE(epoll_pwait2));
  return next_epoll_pwait2()(fd, events, room, timeout, mask);
}

}  // namespace baton::interpose

extern "C" const char baton_interpose_polls;
extern "C" const char baton_interpose_polls = 0;  // see linked.cc
