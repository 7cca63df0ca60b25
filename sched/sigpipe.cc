// An empty handler, not SIG_IGN: SIG_IGN would survive exec, and `yes | head` in a child would not end. exec replaces a
// handler with the default action.
#include <baton/sched/sigpipe.h>

#include <baton/sched/platform/atomic.h>

#include <csignal>

namespace baton::sched {

namespace {

platform::atomic<bool> outlives{false};

void do_nothing(int) {}

bool has_action(void (*handler)(int)) noexcept {
  struct sigaction now {};
  return ::sigaction(SIGPIPE, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == handler;
}

void set_action(void (*handler)(int)) noexcept {
  struct sigaction next {};
  next.sa_handler = handler;
  next.sa_flags = SA_RESTART | SA_ONSTACK;
  ::sigemptyset(&next.sa_mask);
  ::sigaction(SIGPIPE, &next, nullptr);
}

}  // namespace

void outlive_sigpipe() noexcept {
  outlives.store(true, platform::mo::relaxed);
  if (has_action(SIG_DFL)) set_action(do_nothing);
}

void restore_sigpipe() noexcept {
  outlives.store(false, platform::mo::relaxed);
  if (has_action(do_nothing)) set_action(SIG_DFL);
}

bool outlives_sigpipe() noexcept { return outlives.load(platform::mo::relaxed); }

}  // namespace baton::sched
