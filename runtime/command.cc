// A command describes a child; detail/process_state.cc starts and reaps it. output() is in command_output.cc.
#include <baton/runtime/command.h>

#include <baton/runtime/detail/process_state.h>
#include <baton/runtime/file.h>
#include <baton/syscall/child.h>
#include <baton/syscall/files.h>
#include <baton/syscall/status.h>

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <string_view>
#include <utility>

namespace baton {

namespace {

using sys::detail::child_step;

// Descriptors of the command lie above those that have a meaning.
constexpr int lowest_number = 3;

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

void set_in(std::vector<std::string>& env, const std::string& entry) {
  for (std::string& e : env) {
    if (key_of(e) == key_of(entry)) {
      e = entry;
      return;
    }
  }
  env.push_back(entry);
}

std::vector<std::string> own_environment() {
  std::vector<std::string> all;
  for (char** e = ::environ; e != nullptr && *e != nullptr; ++e) all.emplace_back(*e);
  return all;
}

// What a failed step was about, if it was not the program itself.
std::string text_of(child_step step, const sys::child_attributes& a) {
  switch (step) {
    case child_step::prepare:
    case child_step::clone:
    case child_step::umask:
    case child_step::exec: return {};
    case child_step::session: return ": new session";
    case child_step::process_group: return ": process group " + std::to_string(a.process_group.value_or(0));
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
  added_env_.push_back(std::move(entry));
  return *this;
}

command& command::give(std::size_t number, const file& f) {
  const auto twin = sys::fcntl(f.native_handle(), F_DUPFD_CLOEXEC, lowest_number);
  if (!twin) {
    if (error_.ok()) error_ = twin.status("start " + program_ + ": duplicate " + f.path());
    return *this;
  }
  streams_[number].from = stream::source::file;
  streams_[number].fd.reset(*twin);
  return *this;
}

command& command::stdin_from(const file& from) { return give(0, from); }
command& command::stdout_to(const file& to) { return give(1, to); }
command& command::stderr_to(const file& to) {
  stderr_to_stdout_ = false;
  return give(2, to);
}

command& command::stderr_to_stdout() {
  stderr_to_stdout_ = true;
  streams_[2] = stream();
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

// Keeps the program's end, and returns the other one, which the caller owns.
absl::StatusOr<int> command::make_pipe_for(std::size_t number) {
  if (streams_[number].from != stream::source::by_default || (number == 2 && stderr_to_stdout_)) {
    return absl::FailedPreconditionError("start " + program_ + ": descriptor " + std::to_string(number) +
                                         " was given before");
  }
  const auto ends = sys::pipe2(O_CLOEXEC);
  if (!ends) return ends.status("start " + program_ + ": make pipe");
  const std::size_t ours = number == 0 ? 1 : 0;
  streams_[number].from = stream::source::pipe;
  streams_[number].fd.reset((*ends)[1 - ours]);
  return (*ends)[ours];
}

absl::StatusOr<pipe_writer> command::stdin_pipe() {
  const absl::StatusOr<int> number = make_pipe_for(0);
  if (!number.ok()) return number.status();
  sys::owned_fd fd(*number);
  absl::StatusOr<pipe_writer> writer = pipe_writer::adopt(fd.get(), "stdin of " + program_);
  if (writer.ok()) {
    (void)fd.release();
  } else {
    streams_[0] = stream();
  }
  return writer;
}

absl::StatusOr<pipe_reader> command::reader_of(std::size_t number, const char* name) {
  const absl::StatusOr<int> made = make_pipe_for(number);
  if (!made.ok()) return made.status();
  sys::owned_fd fd(*made);
  absl::StatusOr<pipe_reader> reader = pipe_reader::adopt(fd.get(), name + program_);
  if (reader.ok()) {
    (void)fd.release();
  } else {
    streams_[number] = stream();
  }
  return reader;
}

absl::StatusOr<pipe_reader> command::stdout_pipe() { return reader_of(1, "stdout of "); }
absl::StatusOr<pipe_reader> command::stderr_pipe() { return reader_of(2, "stderr of "); }

void command::drop_pipes() noexcept {
  for (stream& s : streams_) {
    if (s.from == stream::source::pipe) s = stream();
  }
}

absl::StatusOr<sys::child_attributes> command::attributes_for_start(sys::owned_fd& null_device) const {
  sys::child_attributes a = attributes_;
  a.files.resize(std::max<std::size_t>(a.files.size(), 3));
  if (!streams_[0].fd) {
    const auto opened = sys::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!opened) return opened.status("start " + program_ + ": open /dev/null");
    null_device.reset(*opened);
  }
  a.files[0] = streams_[0].fd ? streams_[0].fd.get() : null_device.get();
  a.files[1] = streams_[1].fd ? streams_[1].fd.get() : STDOUT_FILENO;
  a.files[2] = stderr_to_stdout_ ? a.files[1] : streams_[2].fd ? streams_[2].fd.get() : STDERR_FILENO;
  if (!added_env_.empty()) {
    if (!a.env) a.env = own_environment();
    for (const std::string& entry : added_env_) set_in(*a.env, entry);
  }
  return a;
}

absl::StatusOr<process> command::start_with_pipes() try {
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
  sys::detail::start_failure failed;
  std::shared_ptr<detail::process_state> state = detail::process_state::start(request, failed);
  if (state == nullptr) return status_from_errno(failed.error, "start " + program_ + text_of(failed.step, attributes_));
  return process(std::move(state));
} catch (const std::bad_alloc&) {
  return status_from_errno(ENOMEM, "start " + program_);
}

absl::StatusOr<process> command::start() {
  absl::StatusOr<process> started = start_with_pipes();
  drop_pipes();
  return started;
}

absl::Status command::unless_done(const context& ctx) const {
  if (!ctx.is_done()) return absl::OkStatus();
  return status_for_reason(ctx.error(), "start " + program_);
}

absl::StatusOr<exit_status> command::run(const context& ctx) {
  if (absl::Status s = unless_done(ctx); !s.ok()) return s;
  absl::StatusOr<process> child = start();
  if (!child.ok()) return child.status();
  return child->wait(ctx);
}

}  // namespace baton
