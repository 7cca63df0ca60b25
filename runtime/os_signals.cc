// 1. The handler (detail/signal_actions.cc), on whatever thread the kernel chose, notes the signal and writes to an
//    eventfd.
// 2. The listener, one fiber for all signals, waits for the eventfd in the poller (so a program that
//    waits for a signal does not count as deadlocked), takes the bits, and adds them to the pending
//    ones of each subscription that wants them.
// 3. A subscription with pending signals has a sender: a fiber that takes one bit after the other and sends.
//    It ends when none is left. While its send waits for a receiver it is told of changes (by a token in
//    `changed`). If the channel no longer wants the signal, the sender drops it. If an equal signal has come, it
//    merges with the one that the sender still holds, for a send that ended by the token has not happened.
// 4. A context of notify_context() has no sender: the listener cancels it, which never switches. The context owns its
//    signal_canceller and takes it off the hub, under the lock, when it is destroyed. So a canceller that is found
//    under the lock belongs to a context whose holds can be tried. The listener cancels, and gives the hold back,
//    without the lock.
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
#include <baton/runtime/detail/context_state.h>
#include <baton/runtime/detail/signal_actions.h>
#include <baton/runtime/detail/signal_cancellers.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/select.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/platform/signal_action.h>

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

using detail::bit_of;
using detail::for_each_signal;
using detail::signal_set;
using detail::signals_max;

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
    for_each_signal(signals, [&](int s) { actions_.take(s); });
    watch_blocked();
  }

  void notify(detail::signal_canceller& c, signal_set signals) {
    start();
    const platform::lock_guard hold(lock_);
    cancellers_.add(c, signals);
    for_each_signal(signals, [&](int s) { actions_.take(s); });
    watch_blocked();
  }

  // Afterwards the hub does not touch it.
  void stop(detail::signal_canceller& c) {
    signal_set again = 0;
    {
      const platform::lock_guard hold(lock_);
      again = take_off(c);
    }
    raise_again(again);
  }

  void stop(const net::cancellation* ctx) {
    signal_set again = 0;
    {
      const platform::lock_guard hold(lock_);
      if (detail::signal_canceller* const c = cancellers_.find(ctx)) again = take_off(*c);
    }
    raise_again(again);
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
      again = unheard(again | restore(actions_.caught() & ~wanted_by_any()));
    }
    if (tell) gone.front()->tell_sender();
    raise_again(again);
  }

  void ignore(signal_set signals) {
    {
      const platform::lock_guard hold(lock_);
      static_cast<void>(forget_all(signals));
      for_each_signal(signals, [&](int s) { actions_.ignore(s); });
      watch_blocked();
    }
    tell_senders();
  }

  void reset(signal_set signals) {
    signal_set again = 0;
    {
      const platform::lock_guard hold(lock_);
      if (signals == 0) signals = actions_.changed();
      again = forget_all(signals);
      again = unheard(again | restore(signals & actions_.changed()));
    }
    tell_senders();
    raise_again(again);
  }

 private:
  using list = std::list<subscription_ptr>;

  // The hub's lock is held in all functions from here to unheard().
  list::iterator find(const channel<int>& to) {
    return std::find_if(all_.begin(), all_.end(), [&](const subscription_ptr& s) { return s->to == to; });
  }
  void count(signal_set& by_one, signal_set& by_more) const {
    for (const subscription_ptr& s : all_) {
      by_more |= by_one & s->wanted;
      by_one |= s->wanted;
    }
    cancellers_.count(by_one, by_more);
  }
  [[nodiscard]] signal_set wanted_by_any() const {
    signal_set by_one = 0;
    signal_set by_more = 0;
    count(by_one, by_more);
    return by_one;
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
    signal_set dropped = cancellers_.forget(signals);
    for (const subscription_ptr& s : all_) dropped |= forget(*s, signals);
    return dropped;
  }
  // Returns what is to be raised again.
  signal_set take_off(detail::signal_canceller& c) {
    const signal_set dropped = cancellers_.remove(c);
    return unheard(dropped | restore(actions_.caught() & ~wanted_by_any()));
  }
  // Returns the signals that the handler has taken, and the listener has not.
  signal_set restore(signal_set signals) {
    actions_.restore(signals);
    watch_blocked();
    return detail::signal_actions::take_arrived(signals);
  }
  // Watches all signals that are caught, also where they are blocked.
  void watch_blocked() const {
    if (blocked_fd_ < 0) return;
    // A trap: ThreadSanitizer takes signalfd() for a call that makes the descriptor. The kernel's set has the form of
    // signal_set.
    const signal_set caught = actions_.caught();
    ::syscall(SYS_signalfd4, blocked_fd_, &caught, sizeof caught, 0);
  }
  // Returns those of the signals, which no channel got, that have their former action back.
  [[nodiscard]] signal_set unheard(signal_set signals) const { return signals & ~actions_.changed(); }

  // Called without the hub's lock, as all that follows.
  static void raise_again(signal_set signals) {
    for_each_signal(signals, [](int s) { ::kill(::getpid(), s); });
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
      if (detail::signal_actions::wake_by(events->fd)) listen(*events);
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
      distribute(detail::signal_actions::take_arrived(~signal_set{0}));
      std::uint64_t count = 0;
      read(events, count);  // until the handler writes
    }
  }

  [[noreturn]] static void listen_to_blocked(source& events) {
    for (;;) {
      signalfd_siginfo info;
      read(events, info);
      detail::signal_actions::note(static_cast<int>(info.ssi_signo));
    }
  }

  void distribute(signal_set signals) {
    signal_set again = 0;
    {
      const platform::lock_guard hold(lock_);
      signal_set by_one = 0;
      signal_set by_more = 0;
      count(by_one, by_more);
      for (const subscription_ptr& s : all_) {
        const signal_set its = signals & s->wanted;
        if (its == 0) continue;
        s->pending |= its;
        s->alone = (s->alone & ~its) | (its & ~by_more);
        s->to_tell = s->has_sender;
      }
      cancellers_.arrive(signals, by_more);
      again = unheard(signals & ~by_one);
    }
    raise_again(again);
    cancel_contexts();
    tell_senders();
    start_senders();
  }

  void cancel_contexts() {
    for (;;) {
      detail::context_state* ctx = nullptr;
      int signal = 0;
      {
        const platform::lock_guard hold(lock_);
        ctx = cancellers_.next_to_cancel(signal);
      }
      if (ctx == nullptr) return;
      ctx->cancel(detail::signal_cancellers::cause(signal));
      detail::context_state::let_go(ctx);
    }
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
  detail::signal_cancellers cancellers_;
  detail::signal_actions actions_;
  int blocked_fd_ = -1;
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

// Without those that cannot be caught, and those that the C library keeps for itself.
signal_set set_of_all() noexcept {
  constexpr int first_realtime = 32;
  signal_set set = ~(bit_of(SIGKILL) | bit_of(SIGSTOP));
  for (int s = first_realtime; s < SIGRTMIN; ++s) set &= ~bit_of(s);
  return set;
}

context make_context(const context& parent, signal_set signals) {
  cancellable_context ctx = with_cancel(parent);
  auto* const state = static_cast<detail::context_state*>(ctx.as_cancellation().get());
  auto canceller =
      std::make_unique<detail::signal_canceller>(*state, [](detail::signal_canceller& c) { hub::get().stop(c); });
  hub::get().notify(*canceller, signals);
  state->set_source(std::move(canceller));
  return ctx;
}

}  // namespace

void notify(channel<int> to, std::initializer_list<int> signals) { hub::get().notify(to, set_of(signals)); }
void notify(channel<int> to, all_signals_t) { hub::get().notify(to, set_of_all()); }
context notify_context(const context& parent, std::initializer_list<int> signals) {
  return make_context(parent, set_of(signals));
}
context notify_context(const context& parent, all_signals_t) { return make_context(parent, set_of_all()); }
void stop(const context& ctx) {
  const std::shared_ptr<net::cancellation> state = ctx.as_cancellation();
  if (state != nullptr) hub::get().stop(state.get());
}
bool is_ignored(int signal) {
  if (signal < 1 || signal > signals_max) sched::fatal("os_signals: %d is no signal", signal);
  struct sigaction now = {};
  if (platform::set_signal_action(signal, nullptr, &now) != 0) return false;
  return (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_IGN;
}
void stop(channel<int> to) { hub::get().stop(to); }
void ignore(std::initializer_list<int> signals) { hub::get().ignore(set_of(signals)); }
void reset(std::initializer_list<int> signals) {
  const signal_set set = set_of(signals);
  if (signals.size() == 0 || set != 0) hub::get().reset(set);
}

}  // namespace baton::os_signals
