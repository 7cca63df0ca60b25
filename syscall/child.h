// The child's side of fork_exec: from clone to exec. Internal to syscall/ and runtime/.
#pragma once

#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/fork_exec.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/result.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace baton::sys::detail {

// The step of a start that failed.
enum class child_step : std::uint8_t {
  prepare,
  clone,
  session,
  process_group,
  table,  // of descriptors: to have one of its own
  files,
  terminal,
  umask,
  limits,
  root,
  credentials,
  directory,
  death_signal,
  exec,
};

// What the child does, prepared by the parent so that the child needs no memory. All pointers stay valid until the
// child has begun its program or ended: the parent waits for that.
struct child_plan {
  const char* const* paths = nullptr;  // tried in this order, as by execvp; ends with null
  const char* const* argv = nullptr;
  const char* const* env = nullptr;
  int* files = nullptr;  // the child changes it
  int files_count = 0;
  const char* dir = nullptr;
  const char* root = nullptr;
  const credentials* as = nullptr;
  const std::pair<int, ::rlimit>* limits = nullptr;
  std::size_t limits_count = 0;
  bool shares_table = false;  // cloned with CLONE_FILES
  bool new_session = false;
  bool has_process_group = false;
  bool has_umask = false;
  bool has_terminal = false;
  ::pid_t process_group = 0;
  ::mode_t umask = 0;
  int terminal = -1;
  int death_signal = 0;
  ::pid_t parent = 0;

  // Written by the child. 0: its program has begun (or the child was killed before).
  int error = 0;
  child_step step = child_step::exec;
};

// Runs as the child, on its own stack and in the parent's memory. The argument is a child_plan. Does not return.
int run_child(void* plan) noexcept;

struct started_child {
  ::pid_t pid = 0;
  owned_fd pidfd;  // none if the kernel refuses pidfds
};

// How a start failed.
struct start_failure {
  int error = 0;
  child_step step = child_step::prepare;
};

// Switches. As fork_exec(), for the first of these paths that there is, as execvp finds it. `cancel` may be null; it
// may end the wait for the start's turn: the error is ECANCELED then. Nothing ends the start itself.
[[nodiscard]] start_failure start_child(const std::vector<std::string>& paths, const std::vector<std::string>& argv,
                                        const child_attributes& attributes, bool wants_pidfd,
                                        baton::detail::gate_entry::canceller* cancel, started_child& into) noexcept;

}  // namespace baton::sys::detail
