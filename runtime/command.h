// Public API: running programs.
//
//   absl::StatusOr<std::string> text = baton::command("git", {"rev-parse", "HEAD"}).dir(repository).output(ctx);
//
//   baton::command sort("sort", {"-u"});
//   absl::StatusOr<baton::pipe_writer> in = sort.stdin_pipe();
//   absl::StatusOr<baton::process> child = sort.start();
//
// Nothing of the runtime's reaches a child: it starts with an empty signal mask, default dispositions, the timer slack
// of this process, and no descriptors but those it was given. sys::fork_exec() is the call below.
#pragma once

#include <baton/netpoll/pipe.h>
#include <baton/runtime/context.h>
#include <baton/runtime/exit_status.h>
#include <baton/runtime/process.h>
#include <baton/sched/time_limit.h>
#include <baton/syscall/fork_exec.h>
#include <baton/syscall/owned_fd.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace baton {

class file;

// A program with its arguments, environment, files. Move-only; one agent at a time uses an object. It may be started
// several times, but the pipes are for the next start only.
//
// The setters return *this. What they cannot do (no descriptor left) is reported by the next start.
class command {
 public:
  // A program without '/' in its name is looked up in the directories of this process's PATH when it is started, past
  // those that are not absolute. One with '/' that is not absolute is relative to dir(). `args` come after the name.
  explicit command(std::string program, std::vector<std::string> args = {});
  command(command&&) noexcept = default;
  command& operator=(command&&) noexcept = default;
  ~command() = default;

  // The directory in which the program starts. Default: that of this process.
  command& dir(std::string directory);
  // The whole environment, each as "KEY=value". Default: that of this process.
  command& env(std::vector<std::string> all);
  // Adds "KEY=value", or replaces the value of that key, also of one that env() has given. Without '=', the next start
  // fails with EINVAL.
  command& add_env(std::string entry);

  // The program's standard input (default: /dev/null), output and error (default: those of this process, or /dev/null
  // if this process has closed them). The command has a duplicate of the descriptor: the file may be closed at once. A
  // pipe or a terminal is a blocking one for the program, also if it is not for this process; a non-blocking socket
  // stays so. The pipe of one command's output may be the input of another:
  //   auto pipe = first.stdout_pipe();
  //   second.stdin_from(*pipe);
  //   pipe->close();               // else it has one more reader, and `first` never learns that `second` has ended
  command& stdin_from(const file& from);
  command& stdin_from(const pipe_reader& from);
  command& stdout_to(const file& to);
  command& stdout_to(const pipe_writer& to);
  command& stderr_to(const file& to);
  command& stderr_to(const pipe_writer& to);
  // Standard error goes where standard output goes.
  command& stderr_to_stdout();

  // Starts the program in a process group of its own; process::wait(ctx) then ends the whole group. Default: false.
  command& process_group(bool own = true);
  // How long a program may take to end after SIGTERM before SIGKILL comes: any duration. Default: 5 s.
  command& kill_grace(time_limit grace);
  // What else there is (user, limits, session …). Replaces what dir(), env() and process_group() have said. Its files
  // from 3 on become the program's; 0, 1 and 2 are said by the calls above.
  command& attributes(sys::child_attributes all);

  // Call before start(): the program's standard input, output or error is a pipe, of which this is the other end.
  // Fail with FAILED_PRECONDITION if that has been given, or with EMFILE, ENFILE, ENOMEM. Never switch.
  absl::StatusOr<pipe_writer> stdin_pipe();
  absl::StatusOr<pipe_reader> stdout_pipe();
  absl::StatusOr<pipe_reader> stderr_pipe();

  // Starts the program. The error names the program and the step that failed; errno_of(status) is ENOENT, EACCES,
  // ENOEXEC, E2BIG, ENOTDIR, ELOOP, ENAMETOOLONG, EMFILE, EAGAIN, ENOMEM, EINVAL (a NUL in a string) …. After an error
  // there is no child. A few starts go on at once, others wait for their turn. Switches.
  absl::StatusOr<process> start();

  // Starts the program and waits for its end as process::wait(ctx) does. Fails if it cannot be started, or if the
  // context is done before it is this start's turn. Switches.
  absl::StatusOr<exit_status> run(const context& ctx = {});

  // Runs the program and returns what it writes to standard output. Waits until the program has ended and all
  // processes that have the pipe (also those that the program leaves behind) have closed it.
  //
  // An exit status other than 0 is an error: exit_status_of(status) returns it, and the message ends with the last
  // 4 KiB of standard error, unless stderr_to() or stderr_to_stdout() was called. When the context is done, ends the
  // program as process::wait(ctx) does, stops reading, and fails with the context's error. FAILED_PRECONDITION after
  // stdout_to(), stdout_pipe() or stderr_pipe(). Switches.
  absl::StatusOr<std::string> output(const context& ctx = {});
  // The same, and `text` has what was read until then also after an error: what a program wrote before it failed, or
  // before the context was done. The text is empty if the program was not started. Switches.
  absl::Status output(std::string& text, const context& ctx = {});

 private:
  // What the program gets as 0, 1 or 2.
  struct stream {
    enum class source : std::uint8_t { by_default, file, pipe };
    source from = source::by_default;
    sys::owned_fd fd;
  };

  command& give(std::size_t number, int fd, const std::string& name);
  absl::StatusOr<sys::owned_fd> make_pipe_for(std::size_t number);
  template <class End>
  absl::StatusOr<End> pipe_for(std::size_t number, const char* name);
  void drop_pipes() noexcept;
  [[nodiscard]] absl::Status place_streams(std::vector<int>& files, sys::owned_fd& null_device) const;
  [[nodiscard]] absl::StatusOr<sys::child_attributes> attributes_for_start(sys::owned_fd& null_device) const;
  [[nodiscard]] absl::StatusOr<process> start_with_pipes(const context& ctx);
  [[nodiscard]] absl::StatusOr<process> start_unless_done(const context& ctx);
  [[nodiscard]] absl::Status unless_done(const context& ctx) const;

  std::string program_;
  std::vector<std::string> args_;
  sys::child_attributes attributes_;
  std::vector<std::string> added_env_;
  std::array<stream, 3> streams_;
  bool stderr_to_stdout_ = false;
  time_limit kill_grace_ = std::chrono::seconds(5);
  absl::Status error_;
};

}  // namespace baton
