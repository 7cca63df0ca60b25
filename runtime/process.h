// Public API: a child process that command::start() has started.
//
//   absl::StatusOr<baton::process> child = baton::command("make", {"all"}).start();
//   if (!child.ok()) return child.status();
//   absl::StatusOr<baton::exit_status> end = child->wait(request.ctx());
//
// The runtime reaps every child as soon as it ends, whether the program waits for it, still has the process object, or
// neither: no zombie stays. (While the runtime is shut down it reaps none. It reaps them after its next start; a call
// of wait() starts it.) A pidfd in the poller reports the end of a child. So children hold no thread, and neither do
// fibers that wait for them. Where the kernel or a sandbox refuses pidfds, the runtime asks every few milliseconds.
//
// The program leaves these children to the runtime: if it ignores SIGCHLD, or waits for any child (waitpid(-1 …)), the
// exit status may be lost. wait() gives ECHILD then.
#pragma once

#include <baton/runtime/context.h>
#include <baton/runtime/exit_status.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sys/resource.h>
#include <sys/types.h>
#include <memory>
#include <utility>

namespace baton {

namespace detail {
class process_state;
}

// Move-only. Several agents may call its functions at once; only the owner may move, detach or destroy it, when no call
// is under way. The destructor kills nothing and waits for nothing: the child runs on, and is reaped when it ends.
class process {
 public:
  process() noexcept = default;  // no process
  process(process&&) noexcept = default;
  process& operator=(process&&) noexcept = default;
  ~process() = default;

  // Returns the process id, also after the end, or 0 if there is no process. After the end the number may belong to
  // another process. So prefer kill() to ::kill().
  [[nodiscard]] ::pid_t id() const noexcept;

  // Waits until the child has ended. Every call returns the same. Fails with ECHILD if the exit status is lost (see
  // above), and with FAILED_PRECONDITION if there is no process. Switches.
  absl::StatusOr<exit_status> wait();
  // The same, but when the context is done while the child runs, ends the child: sends SIGTERM and, if it has not ended
  // within the grace (command::kill_grace()), SIGKILL. If the child has a process group of its own
  // (command::process_group()), the signals go to the group, and this waits for all processes of the group: a process
  // that outlives the child has the rest of the grace. (The runtime finds them in /proc. A process that has left the
  // group does not count.) Returns how the child ended, and EPERM if this process may not send SIGKILL to it. Switches.
  absl::StatusOr<exit_status> wait(const context& ctx);

  // Returns true if the child has ended and was reaped. Never switches.
  [[nodiscard]] bool has_ended() const noexcept;

  // Returns what the child has used (times, memory …), with what those of its own children have used that it has waited
  // for. FAILED_PRECONDITION if the child has not ended; ECHILD as from wait(). Never switches.
  [[nodiscard]] absl::StatusOr<::rusage> usage() const;

  // Sends a signal to the child, never to another process that has got its number. ESRCH: it has been reaped, which may
  // be before wait() returns, and certainly is after that. EINVAL: there is no such signal. Never switches.
  absl::Status kill(int signal);
  // The same for the child's process group, if it has one of its own (else FAILED_PRECONDITION). ESRCH once the child
  // itself has been reaped, also if others in the group live on. Never switches.
  absl::Status kill_group(int signal);

  // Gives the child up: it runs on, and the runtime reaps it. The object is empty afterwards.
  // FAILED_PRECONDITION if there is no process. Never switches.
  absl::Status detach();

 private:
  friend class command;
  explicit process(std::shared_ptr<detail::process_state> state) noexcept : state_(std::move(state)) {}

  std::shared_ptr<detail::process_state> state_;
};

}  // namespace baton
