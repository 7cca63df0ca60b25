// A command describes a child; detail/process_state.cc starts and reaps it. The program's files are in
// command_streams.cc, output() is in command_output.cc.
#include <baton/runtime/command.h>

#include <baton/runtime/detail/gate_canceller.h>
#include <baton/runtime/detail/process_state.h>
#include <baton/syscall/child.h>
#include <baton/syscall/status.h>

#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

namespace baton {

namespace {

using sys::detail::child_step;

// Where execvp would look for the program, without the directories that are relative.
std::vector<std::string> paths_of(const std::string& program) {
  if (program.empty() || program.find('/') != std::string::npos) return {program};
  const char* const variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "/usr/local/bin:/usr/bin:/bin" : variable;
  std::vector<std::string> paths;
  for (;;) {
    const std::size_t colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    if (directory.starts_with('/')) paths.push_back(std::string(directory).append("/").append(program));
    if (colon == std::string_view::npos) return paths;
    rest.remove_prefix(colon + 1);
  }
}

std::string_view key_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

// Of several entries with the key, replaces the first and removes the others: programs disagree about which one counts.
void set_in(std::vector<std::string>& env, const std::string& entry) {
  const auto same_key = [&](const std::string& e) { return key_of(e) == key_of(entry); };
  const auto first = std::find_if(env.begin(), env.end(), same_key);
  if (first == env.end()) {
    env.push_back(entry);
    return;
  }
  *first = entry;
  env.erase(std::remove_if(first + 1, env.end(), same_key), env.end());
}

std::vector<std::string> own_environment() {
  std::vector<std::string> all;
  for (char** e = ::environ; e != nullptr && *e != nullptr; ++e) all.emplace_back(*e);
  return all;
}

// What a failed step was about, if it was not the program itself.
std::string text_of(const sys::detail::start_failure& failed, const sys::child_attributes& a) {
  switch (failed.step) {
    case child_step::prepare: return failed.error == EINVAL ? ": a text with a NUL inside" : "";
    case child_step::clone:
    case child_step::umask:
    case child_step::exec: return {};
    case child_step::session: return ": new session";
    case child_step::process_group: return ": process group " + std::to_string(a.process_group.value_or(0));
    case child_step::table:
    case child_step::files: return ": files";
    case child_step::terminal: return ": controlling terminal";
    case child_step::limits: return ": limits";
    case child_step::root: return ": change root to " + a.root;
    case child_step::credentials: return ": credentials";
    case child_step::directory: return ": change to directory " + a.dir;
    case child_step::death_signal: return ": death signal";
  }
  return {};
}

}  // namespace

command::command(std::string program, std::vector<std::string> args)
    : program_(std::move(program)), args_(std::move(args)) {}

command& command::dir(std::string directory) {
  attributes_.dir = std::move(directory);
  return *this;
}

command& command::env(std::vector<std::string> all) {
  attributes_.env = std::move(all);
  return *this;
}

command& command::add_env(std::string entry) {
  if (entry.find('=') == std::string::npos && error_.ok()) {
    error_ = status_from_errno(EINVAL, "start " + program_ + ": add_env(\"" + entry + "\"): no '='");
  }
  added_env_.push_back(std::move(entry));
  return *this;
}

command& command::process_group(bool own) {
  attributes_.process_group = own ? std::optional<::pid_t>(0) : std::nullopt;
  return *this;
}

command& command::kill_grace(time_limit grace) {
  kill_grace_ = grace;
  return *this;
}

command& command::attributes(sys::child_attributes all) {
  attributes_ = std::move(all);
  return *this;
}

absl::StatusOr<sys::child_attributes> command::attributes_for_start(sys::owned_fd& null_device) const {
  sys::child_attributes a = attributes_;
  a.files.resize(std::max<std::size_t>(a.files.size(), 3));
  if (absl::Status s = place_streams(a.files, null_device); !s.ok()) return s;
  if (!added_env_.empty()) {
    if (!a.env) a.env = own_environment();
    for (const std::string& entry : added_env_) set_in(*a.env, entry);
  }
  return a;
}

absl::StatusOr<process> command::start_with_pipes(const context& ctx) try {
  if (!error_.ok()) return error_;
  sys::owned_fd null_device;
  const absl::StatusOr<sys::child_attributes> attributes = attributes_for_start(null_device);
  if (!attributes.ok()) return attributes.status();
  detail::process_request request;
  request.paths = paths_of(program_);
  request.argv.reserve(args_.size() + 1);
  request.argv.push_back(program_);
  request.argv.insert(request.argv.end(), args_.begin(), args_.end());
  request.attributes = &*attributes;
  request.kill_grace_ns = kill_grace_.ns_at_least_zero();
  const std::shared_ptr<net::cancellation> source = ctx.as_cancellation();
  std::optional<detail::gate_canceller> cancel;
  if (source != nullptr) request.cancel = &cancel.emplace(*source);
  sys::detail::start_failure failed;
  std::shared_ptr<detail::process_state> state = detail::process_state::start(request, failed);
  if (state != nullptr) return process(std::move(state));
  if (failed.error == ECANCELED && ctx.is_done()) return status_for_reason(ctx.error(), "start " + program_);
  return status_from_errno(failed.error, "start " + program_ + text_of(failed, attributes_));
} catch (const std::bad_alloc&) {
  return status_from_errno(ENOMEM, "start " + program_);
}

absl::StatusOr<process> command::start() { return start_unless_done(context()); }

absl::StatusOr<process> command::start_unless_done(const context& ctx) {
  absl::StatusOr<process> started = start_with_pipes(ctx);
  drop_pipes();
  return started;
}

absl::Status command::unless_done(const context& ctx) const {
  if (!ctx.is_done()) return absl::OkStatus();
  return status_for_reason(ctx.error(), "start " + program_);
}

absl::StatusOr<exit_status> command::run(const context& ctx) {
  if (absl::Status s = unless_done(ctx); !s.ok()) return s;
  absl::StatusOr<process> child = start_unless_done(ctx);
  if (!child.ok()) return child.status();
  return child->wait(ctx);
}

}  // namespace baton
