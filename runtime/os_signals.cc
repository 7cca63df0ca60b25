// 1. The handler, on whatever thread the kernel chose, sets the signal's bit in `arrived` and writes to an eventfd.
//    Nothing else is safe there. It passes a fault of the program (the kernel's SIGSEGV, say) on to the handler that
//    was set before: if it only noted the fault, the same instruction would fault again.
// 2. The listener, one fiber for all signals, waits for the eventfd in the poller (so a program that
//    waits for a signal does not count as deadlocked), takes the bits, and adds them to the pending
//    ones of each subscription that wants them.
// 3. A subscription with pending signals has a sender: a fiber that takes one bit after the other and sends.
//    It ends when none is left. While its send waits for a receiver it is told of changes (by a token in
//    `changed`). If the channel no longer wants the signal, the sender drops it. If an equal signal has come, it
//    merges with the one that the sender still holds, for a send that ended by the token has not happened.
//
// A signal that every thread blocks, because the process was started so, would never reach the handler. No thread
// unblocks it: none is fit for that. On a thread that runs fibers, what the program blocks there would run; and it
// takes time to block the signal again on another thread, in which its former action might end the process. Instead a
// second fiber waits for a signalfd, which gives blocked signals to its reader, and does what the handler does. The
// fiber asks for the signals that are caught, so what ends that (stop, reset) leaves the signal blocked, and pending,
// as it was.
//
// A signal that came for one channel alone, and was not taken when that channel stops it or closes, is raised again
// once the former action is back: it may be the SIGTERM that was to end the process.
//
// The lock is held for short work in user state only, also around sigaction(). No agent sends under it, neither signals
// to channels nor tokens to senders: a send may ready a fiber, which holds its thread for good while the process exits,
// and then a static destructor would wait for the lock for ever. So the senders that are to be told are marked, and
// told later. A subscription lives until both the list and the sender have let go of it.
#include <baton/runtime/os_signals.h>

#include <baton/netpoll/descriptor.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/select.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/platform/signal_action.h>
#include <baton/sched/sigpipe.h>

#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

namespace baton::os_signals {

namespace platform = sched::platform;

namespace {

using signal_set = std::uint64_t;  // bit n - 1 for signal n

constexpr int signals_max = 64;

constexpr signal_set bit_of(int signal) noexcept { return signal_set{1} << (signal - 1); }

// Used by the handler. Lock-free, never destroyed.
platform::atomic<signal_set> arrived{0};
platform::atomic<int> wake_fd{-1};
static_assert(platform::atomic<signal_set>::is_always_lock_free);

// The former actions of the signals that are caught or ignored. Written, under the hub's lock, before baton's action is
// set.
struct sigaction before[signals_max] = {};

BATON_SIGNAL_HANDLER bool is_fault(int signal, const siginfo_t& info) noexcept {
  if (info.si_code <= 0) return false;  // sent: by kill() and the like
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL;
}

void hand_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& to = before[signal - 1];
  if (to.sa_handler == SIG_DFL || to.sa_handler == SIG_IGN) {
    // The instruction faults again, and that ends the process. The kernel does the same with ignored faults.
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    platform::set_signal_action(signal, &standard, nullptr);
  } else if ((to.sa_flags & SA_SIGINFO) != 0) {
    to.sa_sigaction(signal, info, context);
  } else {
    to.sa_handler(signal);
  }
}

BATON_SIGNAL_HANDLER void note(int signal) noexcept {
  // release: pairs with the exchange that takes the bits. acquire: a handler that runs after the listener's first
  // exchange sees its eventfd.
  arrived.fetch_or(bit_of(signal), platform::mo::acq_rel);
  const std::uint64_t one = 1;
  // A full eventfd serves as well as a write. A trap: ThreadSanitizer wraps write().
  ::syscall(SYS_write, wake_fd.load(platform::mo::relaxed), &one, sizeof one);
}

BATON_SIGNAL_HANDLER void handler(int signal, siginfo_t* info, void* context) {
  if (is_fault(signal, *info)) return hand_on(signal, info, context);
  const int saved = errno;
  note(signal);
  errno = saved;
}

struct subscription {
  explicit subscription(const channel<int>& c) : to(c) {}
  const channel<int> to;
  const channel<bool> changed{1};
  // Guarded by the hub's lock.
  signal_set wanted = 0;
  signal_set pending = 0;
  signal_set alone = 0;  // no other channel wanted these when they last came
  bool has_sender = false;
  bool to_tell = false;  // of a change

  // Requires: the hub's lock is not held. A token that is there already says the same.
  void tell_sender() const { static_cast<void>(changed.try_send(true)); }
};

using subscription_ptr = std::shared_ptr<subscription>;

class hub {
 public:
  static hub& get() {
    // Never destroyed, and not allocated: stop() and reset() do not fail.
    alignas(hub) static std::byte room[sizeof(hub)];
    static hub* const one = ::new (room) hub;
    return *one;
  }

  void notify(const channel<int>& to, signal_set signals) {
    start();
    list fresh;  // nothing is allocated or freed under the lock
    fresh.push_back(std::make_shared<subscription>(to));
    const platform::lock_guard hold(lock_);
    auto found = find(to);
    if (found == all_.end()) {
      all_.splice(all_.begin(), fresh);
      found = all_.begin();
    }
    (*found)->wanted |= signals;
    for_each(signals, [&](int s) { set_action(s, caught_); });
    watch_blocked();
  }

  void stop(const channel<int>& to) {
    list gone;
    bool tell = false;
    signal_set again = 0;
    {
      const platform::lock_guard hold(lock_);
      const auto found = find(to);
      if (found == all_.end()) return;
      again = forget(**found, ~signal_set{0});
      tell = (*found)->has_sender;
      gone.splice(gone.begin(), all_, found);
      again = unheard(again | restore(caught_ & ~wanted_by_any()));
    }
    if (tell) gone.front()->tell_sender();
    raise_again(again);
  }

  void ignore(signal_set signals) {
    {
      const platform::lock_guard hold(lock_);
      static_cast<void>(forget_all(signals));
      for_each(signals, [&](int s) { set_action(s, ignored_); });
      watch_blocked();
    }
    tell_senders();
  }

  void reset(signal_set signals) {
    signal_set again = 0;
    {
      const platform::lock_guard hold(lock_);
      if (signals == 0) signals = caught_ | ignored_;
      again = forget_all(signals);
      again = unheard(again | restore(signals & (caught_ | ignored_)));
    }
    tell_senders();
    raise_again(again);
  }

 private:
  using list = std::list<subscription_ptr>;

  template <class F>
  static void for_each(signal_set signals, F&& f) {
    for (int s = 1; s <= signals_max; ++s) {
      if ((signals & bit_of(s)) != 0) f(s);
    }
  }

  // The hub's lock is held in all functions from here to unheard().
  list::iterator find(const channel<int>& to) {
    return std::find_if(all_.begin(), all_.end(), [&](const subscription_ptr& s) { return s->to == to; });
  }
  [[nodiscard]] signal_set wanted_by_any() const {
    signal_set all = 0;
    for (const subscription_ptr& s : all_) all |= s->wanted;
    return all;
  }
  // Returns the signals that came for this channel alone and are dropped.
  static signal_set forget(subscription& s, signal_set signals) {
    const signal_set dropped = s.pending & s.alone & signals;
    s.wanted &= ~signals;
    s.pending &= ~signals;
    s.to_tell = s.has_sender;
    return dropped;
  }
  signal_set forget_all(signal_set signals) {
    signal_set dropped = 0;
    for (const subscription_ptr& s : all_) dropped |= forget(*s, signals);
    return dropped;
  }
  void set_action(int signal, signal_set& state) {
    if ((state & bit_of(signal)) != 0) return;
    struct sigaction action = {};
    if (&state == &ignored_) {
      action.sa_handler = SIG_IGN;
    } else {
      action.sa_sigaction = &handler;
    }
    sigfillset(&action.sa_mask);
    action.sa_flags = SA_RESTART | SA_ONSTACK | (&state == &ignored_ ? 0 : SA_SIGINFO);
    const bool ours = ((caught_ | ignored_) & bit_of(signal)) != 0;
    if ((!ours && platform::set_signal_action(signal, nullptr, &before[signal - 1]) != 0) ||
        platform::set_signal_action(signal, &action, nullptr) != 0) {
      sched::fatal("os_signals: signal %d: there is no such signal", signal);
    }
    if (!ours && signal == SIGPIPE) sigpipe_before_start_ = !sched::outlives_sigpipe();
    caught_ &= ~bit_of(signal);
    ignored_ &= ~bit_of(signal);
    state |= bit_of(signal);
  }
  // Restores the former action. An action that the program itself has set meanwhile stays.
  void put_back(int signal) const {
    struct sigaction now = {};
    if (platform::set_signal_action(signal, nullptr, &now) != 0) return;
    const bool informed = (now.sa_flags & SA_SIGINFO) != 0;
    const bool ours = (ignored_ & bit_of(signal)) != 0 ? !informed && now.sa_handler == SIG_IGN
                                                       : informed && now.sa_sigaction == &handler;
    if (ours) platform::set_signal_action(signal, &before[signal - 1], nullptr);
    if (signal != SIGPIPE) return;
    // The former action may be the runtime's own, which is not wanted while the runtime is shut down. Or it may be from
    // a time when the runtime was not up, and so had not set its own.
    if (!sched::outlives_sigpipe()) {
      sched::restore_sigpipe();
    } else if (sigpipe_before_start_) {
      sched::outlive_sigpipe();
    }
  }
  // Returns the signals that the handler has taken, and the listener has not.
  signal_set restore(signal_set signals) {
    for_each(signals, [&](int s) { put_back(s); });
    caught_ &= ~signals;
    ignored_ &= ~signals;
    watch_blocked();
    // acquire: pairs with the handler's release.
    return arrived.fetch_and(~signals, platform::mo::acquire) & signals;
  }
  // Watches all signals that are caught, also where they are blocked.
  void watch_blocked() const {
    if (blocked_fd_ < 0) return;
    // A trap: ThreadSanitizer takes signalfd() for a call that makes the descriptor. The kernel's set has the form of
    // signal_set.
    ::syscall(SYS_signalfd4, blocked_fd_, &caught_, sizeof caught_, 0);
  }
  // Returns those of the signals, which no channel got, that have their former action back.
  [[nodiscard]] signal_set unheard(signal_set signals) const { return signals & ~(caught_ | ignored_); }

  // Called without the hub's lock, as all that follows.
  static void raise_again(signal_set signals) {
    for_each(signals, [](int s) { ::kill(::getpid(), s); });
  }
  // Also lets go of those that want no signal any more.
  void tell_senders() {
    for (;;) {
      list gone;  // freed without the lock
      subscription_ptr s;
      {
        const platform::lock_guard hold(lock_);
        const auto at = std::find_if(all_.begin(), all_.end(),
                                     [](const subscription_ptr& x) { return x->to_tell || x->wanted == 0; });
        if (at == all_.end()) return;
        s = *at;
        s->to_tell = false;
        if (s->wanted == 0) gone.splice(gone.begin(), all_, at);
      }
      s->tell_sender();
    }
  }

  // If several agents come here at once, each makes two listeners, and the first ones that run stay the listeners. So
  // none relies on a fiber that another agent is still to make, and may get no memory for.
  void start() {
    // acquire, release: an agent that sees it started needs nothing else; the orders only make that plain.
    if (started_.load(platform::mo::acquire)) return;
    go({.name = "os signals"}, [this, events = open(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))] {
      sched::mark_daemon();
      int none = -1;
      // relaxed: the exchange that follows brings it to the handlers that run after it; it hears the earlier ones.
      if (wake_fd.compare_exchange_strong(none, events->fd, platform::mo::relaxed)) listen(*events);
    });
    sigset_t empty;
    sigemptyset(&empty);
    go({.name = "os signals, blocked"}, [this, events = open(::signalfd(-1, &empty, SFD_NONBLOCK | SFD_CLOEXEC))] {
      sched::mark_daemon();
      {
        const platform::lock_guard hold(lock_);
        if (blocked_fd_ >= 0) return;
        blocked_fd_ = events->fd;
        watch_blocked();
      }
      listen_to_blocked(*events);
    });
    started_.store(true, platform::mo::release);
  }

  struct source {
    int fd;
    net::descriptor events;
  };

  static std::unique_ptr<source> open(int fd) {
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "os_signals: no descriptor");
    std::unique_ptr<source> s;
    try {
      s = std::make_unique<source>();
    } catch (const std::bad_alloc&) {
      ::close(fd);
      throw;
    }
    s->fd = fd;
    if (const int error = s->events.attach(fd); error != 0) {
      throw std::system_error(error, std::generic_category(), "os_signals: no descriptor");
    }
    return s;
  }

  // Reads one item that the kernel writes there. Switches.
  template <class Item>
  static void read(source& from, Item& item) {
    static_cast<void>(from.events.transfer(
        net::poll_side::read, sched::wait_reason::signal,
        [&](int fd, net::io_result& r) {
          const auto n = ::read(fd, &item, sizeof item);
          if (n < 0 && errno == EAGAIN) return net::io_step::again;
          if (n < 0 && errno == EINTR) return net::io_step::more;
          if (n < 0) r.error = errno;
          return net::io_step::done;
        },
        [](const net::io_result& r) {
          sched::fatal("os_signals: one of its descriptors was closed by somebody (error %d)", r.error);
        }));
  }

  [[noreturn]] void listen(source& events) {
    for (;;) {
      // acquire: pairs with the handler's release. release: see the handler.
      distribute(arrived.exchange(0, platform::mo::acq_rel));
      std::uint64_t count = 0;
      read(events, count);  // until the handler writes
    }
  }

  [[noreturn]] static void listen_to_blocked(source& events) {
    for (;;) {
      signalfd_siginfo info;
      read(events, info);
      note(static_cast<int>(info.ssi_signo));
    }
  }

  void distribute(signal_set signals) {
    signal_set again = 0;
    {
      const platform::lock_guard hold(lock_);
      signal_set by_one = 0;
      signal_set by_more = 0;
      for (const subscription_ptr& s : all_) {
        by_more |= by_one & s->wanted;
        by_one |= s->wanted;
      }
      for (const subscription_ptr& s : all_) {
        const signal_set its = signals & s->wanted;
        if (its == 0) continue;
        s->pending |= its;
        s->alone = (s->alone & ~its) | (its & ~by_more);
        s->to_tell = s->has_sender;
      }
      again = unheard(signals & ~by_one);
    }
    raise_again(again);
    tell_senders();
    start_senders();
  }

  void start_senders() {
    for (;;) {
      subscription_ptr needs_worker;
      {
        const platform::lock_guard hold(lock_);
        for (const subscription_ptr& s : all_) {
          if (s->pending == 0 || s->has_sender) continue;
          s->has_sender = true;
          needs_worker = s;
          break;
        }
      }
      if (needs_worker == nullptr) return;
      try {
        go({.name = "os signal sender"}, [this, s = needs_worker] { carry(s); });
      } catch (const std::bad_alloc&) {
        carry(needs_worker);  // the other subscriptions then wait for this one's receiver
      }
    }
  }

  // Switches.
  void carry(const subscription_ptr& s) {
    sched::mark_daemon();
    for (;;) {
      int signal = 0;
      {
        const platform::lock_guard hold(lock_);
        if (s->pending == 0) {
          s->has_sender = false;
          return;
        }
        signal = __builtin_ctzll(s->pending) + 1;
        s->pending &= ~bit_of(signal);
      }
      const offered end = offer(*s, signal);
      if (end == offered::taken) continue;
      if (end == offered::closed) stop(s->to);
      signal_set again = 0;
      {
        const platform::lock_guard hold(lock_);
        again = unheard(s->alone & bit_of(signal));
      }
      raise_again(again);
    }
  }

  enum class offered : std::uint8_t { taken, closed, unwanted };

  // Offers the signal until the channel has it, or no longer wants it. Switches.
  offered offer(subscription& s, int signal) {
    for (;;) {
      std::optional<bool> was_sent;
      select(on_send(s.to, signal, [&](bool sent) { was_sent = sent; }),
             on_receive(s.changed, [](std::optional<bool>) {}));
      if (was_sent) return *was_sent ? offered::taken : offered::closed;
      const platform::lock_guard hold(lock_);
      if ((s.wanted & bit_of(signal)) == 0) return offered::unwanted;
      s.pending &= ~bit_of(signal);
    }
  }

  platform::spin_lock lock_;
  platform::atomic<bool> started_{false};
  list all_;
  signal_set caught_ = 0;
  signal_set ignored_ = 0;
  int blocked_fd_ = -1;
  bool sigpipe_before_start_ = false;  // SIGPIPE's former action is from before the runtime's start
};

signal_set set_of(std::initializer_list<int> signals) {
  signal_set set = 0;
  for (const int s : signals) {
    if (s < 1 || s > signals_max) sched::fatal("os_signals: %d is no signal", s);
    if (s == SIGKILL || s == SIGSTOP) {
      sched::warn("os_signals: signal %d cannot be caught or ignored", s);
    } else {
      set |= bit_of(s);
    }
  }
  return set;
}

}  // namespace

void notify(channel<int> to, std::initializer_list<int> signals) { hub::get().notify(to, set_of(signals)); }
void stop(channel<int> to) { hub::get().stop(to); }
void ignore(std::initializer_list<int> signals) { hub::get().ignore(set_of(signals)); }
void reset(std::initializer_list<int> signals) {
  const signal_set set = set_of(signals);
  if (signals.size() == 0 || set != 0) hub::get().reset(set);
}

}  // namespace baton::os_signals
