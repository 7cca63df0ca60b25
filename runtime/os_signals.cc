// 1. The handler, on whatever thread the kernel chose: sets the signal's bit in `arrived` and writes
//    to an eventfd. Nothing else there is safe.
// 2. The listener, one fiber for all signals, waits for the eventfd in the poller (so a program that
//    waits for a signal does not count as deadlocked), takes the bits, and adds them to the pending
//    ones of each subscription that wants them.
// 3. A subscription with pending signals has a courier: a fiber that takes one bit after the other and
//    sends. It ends when none is left. While its send waits for a receiver it is told of changes (by a
//    token in `changed`): if the channel wants the signal no more it drops it; if an equal one has come,
//    that is one with the one it still holds, for a send that ended by the token has not happened.
//
// The lock is held for short work in user state only, also around sigaction(); couriers send without
// it. Subscriptions live until both the list and the courier have let go of them.
#include <baton/runtime/os_signals.h>

#include <baton/netpoll/descriptor.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/select.h>
#include <baton/sched/fatal.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace baton::os_signals {

namespace platform = sched::platform;

namespace {

using signal_set = std::uint64_t;  // bit n - 1 for signal n

constexpr int signals_max = 64;

constexpr signal_set bit_of(int signal) noexcept { return signal_set{1} << (signal - 1); }

// For the handler. Lock-free, never destroyed.
platform::atomic<signal_set> arrived{0};
platform::atomic<int> wake_fd{-1};
static_assert(platform::atomic<signal_set>::is_always_lock_free);

void handler(int signal) {
  const int saved = errno;
  // release: pairs with the listener's exchange.
  arrived.fetch_or(bit_of(signal), platform::mo::release);
  const std::uint64_t one = 1;
  // A full eventfd is as good as a write.
  const auto written = ::write(wake_fd.load(platform::mo::relaxed), &one, sizeof one);
  static_cast<void>(written);
  errno = saved;
}

struct subscription {
  explicit subscription(channel<int> c) noexcept : to(std::move(c)) {}
  const channel<int> to;
  const channel<bool> changed{1};
  // Guarded by the hub's lock.
  signal_set wanted = 0;
  signal_set pending = 0;
  bool has_courier = false;

  // A token that is there already says as much.
  void tell_courier() const noexcept {
    if (has_courier) static_cast<void>(changed.try_send(true));
  }
};

using subscription_ptr = std::shared_ptr<subscription>;

class hub {
 public:
  static hub& get() {
    static hub* const one = new hub;
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
    for_each(signals, [&](int s) { set_action(s, &handler, caught_); });
  }

  void stop(const channel<int>& to) {
    list gone;
    const platform::lock_guard hold(lock_);
    const auto found = find(to);
    if (found == all_.end()) return;
    (*found)->wanted = (*found)->pending = 0;
    (*found)->tell_courier();
    gone.splice(gone.begin(), all_, found);
    restore(caught_ & ~wanted_by_any());
  }

  void ignore(signal_set signals) {
    const platform::lock_guard hold(lock_);
    forget(signals);
    for_each(signals, [&](int s) { set_action(s, SIG_IGN, ignored_); });
  }

  void reset(signal_set signals) {
    const platform::lock_guard hold(lock_);
    if (signals == 0) signals = caught_ | ignored_;
    forget(signals);
    restore(signals & (caught_ | ignored_));
  }

 private:
  using list = std::list<subscription_ptr>;

  template <class F>
  static void for_each(signal_set signals, F&& f) {
    for (int s = 1; s <= signals_max; ++s) {
      if ((signals & bit_of(s)) != 0) f(s);
    }
  }

  // Under the lock, all of these.
  list::iterator find(const channel<int>& to) {
    return std::find_if(all_.begin(), all_.end(), [&](const subscription_ptr& s) { return s->to == to; });
  }
  [[nodiscard]] signal_set wanted_by_any() const {
    signal_set all = 0;
    for (const subscription_ptr& s : all_) all |= s->wanted;
    return all;
  }
  void forget(signal_set signals) {
    for (const subscription_ptr& s : all_) {
      s->wanted &= ~signals;
      s->pending &= ~signals;
      s->tell_courier();
    }
  }
  void set_action(int signal, void (*to)(int), signal_set& state) {
    if ((state & bit_of(signal)) != 0) return;
    struct sigaction action = {};
    action.sa_handler = to;
    sigfillset(&action.sa_mask);
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    struct sigaction before;
    if (::sigaction(signal, &action, &before) != 0) {
      sched::fatal("os_signals: signal %d: there is no such signal", signal);
    }
    if (((caught_ | ignored_) & bit_of(signal)) == 0) before_[signal - 1] = before;
    caught_ &= ~bit_of(signal);
    ignored_ &= ~bit_of(signal);
    state |= bit_of(signal);
  }
  void restore(signal_set signals) {
    for_each(signals, [&](int s) { ::sigaction(s, &before_[s - 1], nullptr); });
    caught_ &= ~signals;
    ignored_ &= ~signals;
  }

  void start() {
    // acquire: pairs with the release below.
    if (started_.load(platform::mo::acquire)) return;
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "os_signals: eventfd");
    auto events = std::make_unique<net::descriptor>();
    if (const int error = events->attach(fd); error != 0) {
      throw std::system_error(error, std::generic_category(), "os_signals: eventfd");
    }
    int none = -1;
    // release: with the number comes the eventfd. Of several threads here, one wins.
    if (!wake_fd.compare_exchange_strong(none, fd, platform::mo::release, platform::mo::relaxed)) {
      return;
    }
    try {
      go({.name = "os signals"}, [this, kept = std::move(events)]() mutable { listen(*kept); });
    } catch (...) {
      wake_fd.store(-1, platform::mo::relaxed);
      throw;
    }
    started_.store(true, platform::mo::release);
  }

  [[noreturn]] void listen(net::descriptor& events) {
    for (;;) {
      // (S) Until the handler writes.
      static_cast<void>(events.transfer(
          net::poll_side::read, sched::wait_reason::signal,
          [](int fd, net::io_result& r) {
            std::uint64_t count = 0;
            const auto n = ::read(fd, &count, sizeof count);
            if (n < 0 && errno == EAGAIN) return net::io_step::again;
            if (n < 0 && errno == EINTR) return net::io_step::more;
            if (n < 0) r.error = errno;
            return net::io_step::done;
          },
          [](const net::io_result& r) {
            sched::fatal("os_signals: its eventfd was closed by somebody (error %d)", r.error);
          }));
      // acquire: pairs with the handler's release.
      distribute(arrived.exchange(0, platform::mo::acquire));
    }
  }

  void distribute(signal_set signals) {
    for (;;) {
      subscription_ptr needs_courier;
      {
        const platform::lock_guard hold(lock_);
        for (const subscription_ptr& s : all_) {
          if ((signals & s->wanted) == 0) continue;
          s->pending |= signals & s->wanted;
          s->tell_courier();
        }
        signals = 0;
        for (const subscription_ptr& s : all_) {
          if (s->pending == 0 || s->has_courier) continue;
          s->has_courier = true;
          needs_courier = s;
          break;
        }
      }
      if (needs_courier == nullptr) return;
      try {
        go({.name = "os signal courier"}, [this, s = needs_courier] { carry(s); });
      } catch (const std::bad_alloc&) {
        carry(needs_courier);  // then others wait for this one's receiver
      }
    }
  }

  // (S)
  void carry(const subscription_ptr& s) {
    for (;;) {
      int signal = 0;
      {
        const platform::lock_guard hold(lock_);
        if (s->pending == 0) {
          s->has_courier = false;
          return;
        }
        signal = __builtin_ctzll(s->pending) + 1;
        s->pending &= ~bit_of(signal);
      }
      if (!offer(*s, signal)) stop(s->to);
    }
  }

  // (S) Until the channel has the signal, or wants it no more. False: the channel is closed.
  bool offer(subscription& s, int signal) {
    bool open = true;
    for (bool delivered = false; !delivered;) {
      select(on_send(s.to, signal,
                     [&](bool sent) {
                       delivered = true;
                       open = sent;
                     }),
             on_receive(s.changed, [](std::optional<bool>) {}));
      if (delivered) break;
      const platform::lock_guard hold(lock_);
      if ((s.wanted & bit_of(signal)) == 0) break;
      s.pending &= ~bit_of(signal);
    }
    return open;
  }

  platform::spin_lock lock_;
  platform::atomic<bool> started_{false};
  list all_;
  signal_set caught_ = 0;
  signal_set ignored_ = 0;
  struct sigaction before_[signals_max] = {};  // of those caught or ignored
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
