// What a process and its reaper share. Internal; users include process.h.
#pragma once

#include <baton/netpoll/descriptor.h>
#include <baton/runtime/exit_status.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/child.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/result.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace baton::detail {

// What start() needs to know.
struct process_request {
  std::vector<std::string> paths;  // tried in this order
  std::vector<std::string> argv;
  const sys::child_attributes* attributes = nullptr;
  std::int64_t kill_grace_ns = 0;
  gate_entry::canceller* cancel = nullptr;  // may end the wait for the start's turn: ECANCELED
};

class process_state {
 public:
  // Switches. Starts the program and the reaper. Everything that needs memory is made before the child. Throws
  // std::bad_alloc; then there is no child.
  [[nodiscard]] static std::shared_ptr<process_state> start(const process_request& request,
                                                            sys::detail::start_failure& failed);

  process_state() noexcept = default;
  process_state(const process_state&) = delete;
  process_state& operator=(const process_state&) = delete;

  // Written before the reaper and the user get the state.
  [[nodiscard]] ::pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] bool has_group() const noexcept { return has_group_; }

  enum class whom : std::uint8_t { child, group };
  // Never switches.
  [[nodiscard]] sys::result<void> kill(int signal, whom to) noexcept;
  [[nodiscard]] bool has_ended() const noexcept;

  // Switches. Waits until the child has been reaped. Returns false if the deadline or the context came first.
  [[nodiscard]] bool await_end(net::cancellation* source,
                               std::int64_t deadline_ns = sched::platform::forever_ns) noexcept;
  // Switches. Ends the child, or its group if it has one of its own: SIGTERM, after the grace SIGKILL. Returns when the
  // child has been reaped. Fails if SIGKILL is refused.
  [[nodiscard]] sys::result<void> terminate() noexcept;
  // Requires: await_end() has returned true, or has_ended(). Fails if the status is lost.
  [[nodiscard]] sys::result<exit_status> how() const noexcept;
  [[nodiscard]] sys::result<::rusage> usage() const noexcept;

 private:
  friend struct process_reaper;

  // The reaper's, which shares the ownership meanwhile. Switches.
  void reap() noexcept;
  enum class look : std::uint8_t { runs, held, reaped };
  [[nodiscard]] look reap_if_ended() noexcept;
  [[nodiscard]] bool child_has_ended() noexcept;
  [[nodiscard]] bool has_ended_but_is_held() noexcept;
  [[nodiscard]] sys::result<::siginfo_t> wait_now(int options, ::rusage* used) noexcept
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void change_holds(int by) noexcept;
  [[nodiscard]] bool await_pidfd() noexcept;
  void ask_now_and_then() noexcept;
  void tell_waiters() noexcept;

  ::pid_t pid_ = 0;
  bool has_group_ = false;
  std::int64_t kill_grace_ns_ = 0;
  net::descriptor io_;     // has the pidfd while the reaper waits for it
  sys::owned_fd pidfd_;    // has it before, and if the poller does not take it
  int pidfd_number_ = -1;  // for calls; -1: the kernel refused

  mutable sched::platform::spin_lock lock_;
  bool reaped_ ABSL_GUARDED_BY(lock_) = false;  // the process id may belong to a stranger
  bool ended_ ABSL_GUARDED_BY(lock_) = false;   // reaped, and the pidfd is closed
  int holds_ ABSL_GUARDED_BY(lock_) = 0;        // calls of terminate() that still need the group's number
  int error_ ABSL_GUARDED_BY(lock_) = 0;
  exit_status how_ ABSL_GUARDED_BY(lock_);
  ::rusage usage_ ABSL_GUARDED_BY(lock_){};
  sched::waiter_list waiters_ ABSL_GUARDED_BY(lock_);
};

}  // namespace baton::detail
