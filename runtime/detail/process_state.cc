// Each child has a reaper, a daemon fiber that waits for its end and fetches its status (waitid):
//
//   start     1. Make the state and prepare the reaper's fiber: whatever needs memory.
//             2. Start the child. If that fails, discard the fiber.
//             3. Launch the fiber, which cannot fail. From here on the child will be reaped, whatever becomes of the
//                process object.
//   reaper    Gives the pidfd to the poller, and tries waitid(P_PIDFD) each time it becomes readable. Without a pidfd,
//             or if the poller has no memory for it, it asks the kernel every few milliseconds. A thread in wait4 would
//             answer sooner; but such threads pass a gate, and behind a gate a child that ends would be noticed only
//             when another one has ended, for which it may be waiting.
//   end       1. Under the lock: reap, store the status, set reaped_.
//             2. Close the pidfd. So a wait leaves no descriptor behind.
//             3. Under the lock: set ended_, take the waiters. Ready them after the lock.
//   kill      Under the lock, if reaped_ is not set. Until the child is reaped its id, and that of its group, belong to
//             it, also when it is a zombie; so a signal never reaches a stranger. A program that takes the child away
//             by a waitpid() of its own, or ignores SIGCHLD, breaks that; then the pidfd still names only the child.
//   terminate A group keeps its number while its leader, the child, is not reaped. So the reaper leaves the child a
//             zombie while terminate() may still send SIGKILL to the group and other processes are in it. It looks
//             every few milliseconds, because no descriptor reports the end of a group.
//   waiters   Join the list under the lock, and take themselves off it if a context or a deadline has ended the wait.
#include <baton/runtime/detail/process_state.h>

#include <baton/netpoll/wake_on_cancel.h>
#include <baton/runtime/detail/process_group.h>
#include <baton/runtime/detail/sleep_anyway.h>
#include <baton/runtime/fiber.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/spawn.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/processes.h>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace baton::detail {

namespace platform = sched::platform;

struct process_reaper {
  std::shared_ptr<process_state> state;
  void operator()() const noexcept {
    sched::mark_daemon();
    state->reap();
  }
};

namespace {

constexpr int wait_by_pidfd = 3;  // P_PIDFD

// The reaper's fiber before its launch.
class prepared_reaper {
 public:
  explicit prepared_reaper(std::shared_ptr<process_state> state) : fiber_(prepare<reaper>({"child process"})) {
    closure_ = ::new (fiber_.closure) reaper(std::in_place, process_reaper{std::move(state)});
  }
  ~prepared_reaper() {
    if (fiber_.f == nullptr) return;
    closure_->~reaper();
    sched::discard_fiber(fiber_.f);
  }
  prepared_reaper(const prepared_reaper&) = delete;
  prepared_reaper& operator=(const prepared_reaper&) = delete;
  void launch() noexcept { sched::launch(std::exchange(fiber_.f, nullptr), detached_start<reaper>, false); }

 private:
  using reaper = closure_for<process_reaper>;
  sched::prepared_fiber fiber_;
  reaper* closure_ = nullptr;
};

sys::result<exit_status> status_in(const ::siginfo_t& info) noexcept {
  switch (info.si_code) {
    case CLD_EXITED: return exit_status((info.si_status & 0xff) << 8);
    case CLD_KILLED: return exit_status(info.si_status & 0x7f);
    case CLD_DUMPED: return exit_status((info.si_status & 0x7f) | 0x80);
    default: return sys::failure(EINVAL);
  }
}

}  // namespace

std::shared_ptr<process_state> process_state::start(const process_request& request,
                                                    sys::detail::start_failure& failed) {
  auto state = std::make_shared<process_state>();
  prepared_reaper reaper(state);
  sys::detail::started_child child;
  failed = sys::detail::start_child(request.paths, request.argv, *request.attributes, true, request.cancel, child);
  if (failed.error != 0) return nullptr;
  state->pid_ = child.pid;
  state->has_group_ = request.attributes->new_session || request.attributes->process_group == 0;
  state->kill_grace_ns_ = request.kill_grace_ns;
  state->pidfd_ = std::move(child.pidfd);
  if (!state->pidfd_) state->pidfd_.reset(sys::pidfd_open(child.pid).value_or(-1));
  state->pidfd_number_ = state->pidfd_.get();
  reaper.launch();
  return state;
}

sys::result<void> process_state::kill(int signal, whom to) noexcept {
  const platform::lock_guard hold(lock_);
  if (reaped_) return sys::failure(ESRCH);
  if (pidfd_number_ >= 0) {
    // There is no pidfd of a group; this asks whether its leader is still there.
    const auto sent = sys::pidfd_send_signal(pidfd_number_, to == whom::group ? 0 : signal);
    // A sandbox may refuse the call. If the child runs as another user, kill() will refuse, too.
    const bool refused = sent.error() == ENOSYS || sent.error() == EPERM;
    if (!refused && (to == whom::child || !sent)) return sent;
  }
  return sys::kill(to == whom::group ? -pid_ : pid_, signal);
}

bool process_state::has_ended() const noexcept {
  const platform::lock_guard hold(lock_);
  return ended_;
}

sys::result<exit_status> process_state::how() const noexcept {
  const platform::lock_guard hold(lock_);
  if (error_ != 0) return sys::failure(error_);
  return how_;
}

sys::result<::rusage> process_state::usage() const noexcept {
  const platform::lock_guard hold(lock_);
  if (error_ != 0) return sys::failure(error_);
  return usage_;
}

bool process_state::await_end(net::cancellation* source, std::int64_t deadline_ns) noexcept {
  sched::waiter w;
  {
    const platform::lock_guard hold(lock_);
    if (ended_) return true;
    w.prepare(sched::wait_reason::process);
    waiters_.push_back(w);
  }
  const sched::served_wait waits(w.who());  // the reaper is a daemon, which alone does not keep the runtime up
  net::wake_on_cancel watch(source, w);
  const std::uint32_t outcome = w.wait(deadline_ns);
  watch.end();
  if (outcome == sched::waiter::signalled) return true;
  const platform::lock_guard hold(lock_);
  waiters_.remove(w);  // if the reaper has not taken it off and passed it over
  return ended_;
}

void process_state::change_holds(int by) noexcept {
  const platform::lock_guard hold(lock_);
  holds_ += by;
}

sys::result<void> process_state::terminate() noexcept {
  const whom to = has_group_ ? whom::group : whom::child;
  if (has_group_) change_holds(1);
  static_cast<void>(kill(SIGTERM, to));
  sys::result<void> killed;
  if (!await_end(nullptr, deadline_after_ns(kill_grace_ns_))) killed = kill(SIGKILL, to);
  if (has_group_) change_holds(-1);
  if (!killed && killed.error() != ESRCH && !child_has_ended()) return killed;
  static_cast<void>(await_end(nullptr));
  return {};
}

void process_state::reap() noexcept {
  if (!await_pidfd()) ask_now_and_then();
  // From here on kill() does not use the number.
  static_cast<void>(io_.close());
  pidfd_.reset();
  tell_waiters();
}

void process_state::tell_waiters() noexcept {
  sched::waiter_list claimed;
  {
    const platform::lock_guard hold(lock_);
    ended_ = true;
    while (sched::waiter* const w = waiters_.pop_front()) {
      if (w->claim(sched::waiter::signalled)) claimed.push_back(*w);
    }
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

// Returns true if the child has been reaped. Returns false if there is no pidfd, if the poller cannot take it, or if
// the child is held: then the pidfd tells nothing more.
bool process_state::await_pidfd() noexcept {
  if (!pidfd_) return false;
  if (io_.attach(pidfd_) != 0) return false;
  look last = look::runs;
  const net::io_result r = io_.transfer(
      net::poll_side::read, sched::wait_reason::process,
      [&](int, net::io_result&) noexcept {
        last = reap_if_ended();
        return last == look::runs ? net::io_step::again : net::io_step::done;
      },
      [](const net::io_result&) noexcept {});
  return r.ok() && last == look::reaped;
}

void process_state::ask_now_and_then() noexcept {
  constexpr std::int64_t first_ns = 1'000'000;
  constexpr std::int64_t longest_ns = 20'000'000;
  std::int64_t pause_ns = first_ns;
  for (; reap_if_ended() != look::reaped; pause_ns = std::min(pause_ns * 5 / 4, longest_ns)) sleep_anyway(pause_ns);
}

// Returns what waitid says of the child now, without waiting. ECHILD: the status is lost.
sys::result<::siginfo_t> process_state::wait_now(int options, ::rusage* used) noexcept {
  ::siginfo_t info{};
  sys::result<int> answer = sys::failure(EINVAL);
  if (pidfd_number_ >= 0) {
    answer = sys::detail::call<SYS_waitid, int>(wait_by_pidfd, pidfd_number_, &info, options | WNOHANG, used);
  }
  // Linux before 5.4, or a filter of system calls.
  if (answer.error() == EINVAL || answer.error() == ENOSYS || answer.error() == EPERM) {
    answer = sys::detail::call<SYS_waitid, int>(int{P_PID}, pid_, &info, options | WNOHANG, used);
  }
  if (!answer) return sys::failure(answer.error());
  return info;
}

bool process_state::child_has_ended() noexcept {
  const platform::lock_guard hold(lock_);
  if (reaped_) return true;
  const sys::result<::siginfo_t> now = wait_now(WEXITED | WNOWAIT, nullptr);
  return !now || now->si_pid != 0;
}

bool process_state::has_ended_but_is_held() noexcept {
  {
    const platform::lock_guard hold(lock_);
    if (holds_ == 0) return false;
  }
  // The group keeps its number meanwhile: only the caller, the reaper, ends that.
  return child_has_ended() && group_has_others(pid_);
}

process_state::look process_state::reap_if_ended() noexcept {
  if (has_ended_but_is_held()) return look::held;
  const platform::lock_guard hold(lock_);
  const sys::result<::siginfo_t> now = wait_now(WEXITED, &usage_);
  if (now && now->si_pid == 0) return look::runs;
  const sys::result<exit_status> how = now ? status_in(*now) : sys::failure(now.error());
  reaped_ = true;
  error_ = how.error();
  how_ = how.value_or(exit_status());
  return look::reaped;
}

}  // namespace baton::detail
