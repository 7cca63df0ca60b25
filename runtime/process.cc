// The public calls on a child. detail/process_state.cc waits for its end and reaps it.
#include <baton/runtime/process.h>

#include <baton/runtime/detail/process_state.h>
#include <baton/syscall/status.h>

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
  const std::shared_ptr<detail::process_state> s = state_;
  static_cast<void>(s->await_end(nullptr));
  return end_of(*s);
}

absl::StatusOr<exit_status> process::wait(const context& ctx) {
  if (state_ == nullptr) return no_process("wait");
  const std::shared_ptr<detail::process_state> keep_state = state_;
  detail::process_state& s = *keep_state;
  const context keep = ctx;
  const std::shared_ptr<net::cancellation> source = keep.as_cancellation();
  if (!s.await_end(source.get())) {
    if (const sys::result<void> ended = s.terminate(); !ended) return ended.status(what("kill", s));
  }
  return end_of(s);
}

absl::StatusOr<::rusage> process::usage() const {
  if (state_ == nullptr) return no_process("usage");
  if (!state_->has_ended()) return absl::FailedPreconditionError(what("usage of", *state_) + ": it has not ended");
  const sys::result<::rusage> used = state_->usage();
  if (used) return *used;
  return used.status(what("usage of", *state_) + ", which is lost (is SIGCHLD ignored?)");
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
