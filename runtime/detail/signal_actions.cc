// The handler sets the signal's bit in `arrived` and writes to an eventfd. Nothing else is safe there. It passes a
// fault of the program (the kernel's SIGSEGV, say) on to the handler that was set before: if it only noted the fault,
// the same instruction would fault again.
#include <baton/runtime/detail/signal_actions.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/signal_action.h>
#include <baton/sched/sigpipe.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace baton::detail {

namespace platform = sched::platform;

namespace {

// Used by the handler. Lock-free, never destroyed.
platform::atomic<signal_set> arrived{0};
platform::atomic<int> wake_fd{-1};
static_assert(platform::atomic<signal_set>::is_always_lock_free);

// The former actions of the signals that are caught or ignored. Written, under the owner's lock, before baton's action
// is set.
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

BATON_SIGNAL_HANDLER void note_in_handler(int signal) noexcept {
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
  note_in_handler(signal);
  errno = saved;
}

}  // namespace

bool signal_actions::wake_by(int event_fd) noexcept {
  int none = -1;
  // relaxed: the exchange that follows brings it to the handlers that run after it; it hears the earlier ones.
  return wake_fd.compare_exchange_strong(none, event_fd, platform::mo::relaxed);
}

void signal_actions::note(int signal) noexcept { note_in_handler(signal); }

signal_set signal_actions::take_arrived(signal_set signals) noexcept {
  // acquire: pairs with the handler's release. release: see the handler.
  return arrived.fetch_and(~signals, platform::mo::acq_rel) & signals;
}

void signal_actions::set(int signal, signal_set& state) noexcept {
  if ((state & bit_of(signal)) != 0) return;
  struct sigaction action = {};
  if (&state == &ignored_) {
    action.sa_handler = SIG_IGN;
  } else {
    action.sa_sigaction = &handler;
  }
  sigfillset(&action.sa_mask);
  action.sa_flags = SA_RESTART | SA_ONSTACK | (&state == &ignored_ ? 0 : SA_SIGINFO);
  const bool ours = (changed() & bit_of(signal)) != 0;
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
void signal_actions::put_back(int signal) const noexcept {
  struct sigaction now = {};
  if (platform::set_signal_action(signal, nullptr, &now) != 0) return;
  const bool informed = (now.sa_flags & SA_SIGINFO) != 0;
  const bool ours = (ignored_ & bit_of(signal)) != 0 ? !informed && now.sa_handler == SIG_IGN
                                                     : informed && now.sa_sigaction == &handler;
  if (ours) platform::set_signal_action(signal, &before[signal - 1], nullptr);
  if (signal != SIGPIPE) return;
  // The former action may be the runtime's own, which is not wanted while the runtime is shut down. Or it may be from a
  // time when the runtime was not up, and so had not set its own.
  if (!sched::outlives_sigpipe()) {
    sched::restore_sigpipe();
  } else if (sigpipe_before_start_) {
    sched::outlive_sigpipe();
  }
}

void signal_actions::restore(signal_set signals) noexcept {
  for_each_signal(signals, [&](int s) { put_back(s); });
  caught_ &= ~signals;
  ignored_ &= ~signals;
}

}  // namespace baton::detail
