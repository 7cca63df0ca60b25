#include <baton/runtime/process.h>

#include <baton/runtime/detail/process_state.h>
#include <baton/sched/durations.h>
#include <baton/syscall/status.h>

#include <csignal>
#include <memory>
#include <string>

namespace baton {

namespace {

absl::Status no_process(const char* operation) {
  return absl::FailedPreconditionError(std::string(operation) + ": no process");
}

std::string what(const char* operation, const detail::process_state& s) {
  return std::string(operation) + " process " + std::to_string(s.pid());
}

absl::StatusOr<exit_status> end_of(const detail::process_state& s) {
  const sys::result<exit_status> how = s.how();
  if (how) return *how;
  return how.status(what("wait for", s) + ", whose exit status is lost (is SIGCHLD ignored?)");
}

}  // namespace

::pid_t process::id() const noexcept { return state_ == nullptr ? 0 : state_->pid(); }

bool process::has_ended() const noexcept { return state_ != nullptr && state_->has_ended(); }

absl::StatusOr<exit_status> process::wait() {
  if (state_ == nullptr) return no_process("wait");
  static_cast<void>(state_->await_end(nullptr));
  return end_of(*state_);
}

absl::StatusOr<exit_status> process::wait(const context& ctx) {
  if (state_ == nullptr) return no_process("wait");
  detail::process_state& s = *state_;
  const context keep = ctx;
  const std::shared_ptr<net::cancellation> source = keep.as_cancellation();
  if (!s.await_end(source.get())) {
    const auto whom = s.has_group() ? detail::process_state::whom::group : detail::process_state::whom::child;
    static_cast<void>(s.kill(SIGTERM, whom));
    if (!s.await_end(nullptr, detail::deadline_after_ns(s.kill_grace_ns()))) {
      const sys::result<void> killed = s.kill(SIGKILL, whom);
      if (!killed && killed.error() != ESRCH) return killed.status(what("kill", s));
      static_cast<void>(s.await_end(nullptr));
    }
  }
  return end_of(s);
}

absl::Status process::kill(int signal) {
  if (state_ == nullptr) return no_process("kill");
  return state_->kill(signal, detail::process_state::whom::child).status(what("kill", *state_));
}

absl::Status process::kill_group(int signal) {
  if (state_ == nullptr) return no_process("kill");
  if (!state_->has_group()) {
    return absl::FailedPreconditionError(what("kill the group of", *state_) + ": it has no group of its own");
  }
  return state_->kill(signal, detail::process_state::whom::group).status(what("kill the group of", *state_));
}

absl::Status process::detach() {
  if (state_ == nullptr) return no_process("detach");
  state_ = nullptr;
  return absl::OkStatus();
}

}  // namespace baton
