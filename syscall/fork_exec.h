// Public API: starting a program as a child process, and replacing this process by a program.
//
//   auto pid = baton::sys::fork_exec("/bin/ls", {"ls", "-l"});
//   if (!pid) return pid.status("start ls");
//   int status = 0;
//   baton::sys::wait4(*pid, &status, 0);
//
// These are the raw calls. runtime/command.h has pipes, contexts, the look-up in PATH, and a wait that holds no thread.
#pragma once

#include <baton/syscall/result.h>

#include <sys/resource.h>
#include <sys/types.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace baton::sys {

// The user and the groups of a child. Changing to another user needs privileges (EPERM).
struct credentials {
  ::uid_t uid = 0;
  ::gid_t gid = 0;
  std::vector<::gid_t> groups;  // the supplementary groups, all of them
};

// What a child gets beside its program, its arguments and a clean start. The child does these in the order session,
// group, files, terminal, umask, limits, root, credentials, directory, death signal; the first that fails is the error.
struct child_attributes {
  // The child's descriptors 0, 1, 2 …, as numbers of this process; -1: closed. All other descriptors are closed in the
  // child, with O_CLOEXEC or without, also those that other threads open at that moment.
  std::vector<int> files = {0, 1, 2};
  // The whole environment, each as "KEY=value"; none: that of this process.
  std::optional<std::vector<std::string>> env;
  // The directory that the child begins in, also the one that a relative path of the program is relative to; empty:
  // that of this process.
  std::string dir;
  // A session and a process group of its own, without a terminal.
  bool new_session = false;
  // The process group to join; 0: a new one of its own, which a new session has anyway.
  std::optional<::pid_t> process_group;
  // The child gets this signal when its parent, which is the *thread* that made the call, ends (PR_SET_PDEATHSIG);
  // 0: none. A thread of the runtime ends when it has been idle for long. So make the call from a fiber that has
  // called lock_os_thread(), or from a thread that stays. A program with set-user-id bits does not get the signal.
  int death_signal = 0;
  std::optional<credentials> as;
  // The directory that is "/" to the child (chroot); needs privileges. Combine it with dir = "/".
  std::string root;
  // RLIMIT_… and the value, in this order.
  std::vector<std::pair<int, ::rlimit>> limits;
  std::optional<::mode_t> umask;
  // The descriptor, a number of the child's, of a terminal that becomes the child's controlling terminal. Needs
  // new_session.
  std::optional<int> terminal;
};

// Switches. Starts `path` (not looked up in PATH) with these arguments, of which the first is by custom the program's
// name. Returns the child's process id; wait4() must be called for it. If the program cannot be started, the error is
// the errno of the child's step that failed (ENOENT, EACCES, ENOEXEC, E2BIG, ENOTDIR, ELOOP, ENAMETOOLONG, EMFILE …),
// and no child is left. EINVAL: a string has a NUL inside, or there are no arguments. Other errors: EAGAIN (too many
// processes), ENOMEM.
//
// The child starts with an empty signal mask and default dispositions, also of signals that this process ignores. The
// call takes until the child runs its program. It keeps a thread for so long; a few calls do so at once, the others
// wait for their turn. A call that hangs (the program is on a network mount that does not answer) delays the others by
// a second each, until 32 calls hang. Thread-safe.
result<::pid_t> fork_exec(const std::string& path, const std::vector<std::string>& argv,
                          const child_attributes& attributes = {}) noexcept;

// Switches. Replaces this process by the program `path`, in which all threads and fibers end at once. Returns only if
// that fails (errors as above). The program starts with an empty signal mask and default dispositions. It has the
// descriptors that are not O_CLOEXEC. Signals that this process ignores have their default disposition while the kernel
// loads the program, and are ignored again if it fails.
result<void> exec(const std::string& path, const std::vector<std::string>& argv,
                  const std::vector<std::string>& env) noexcept;

}  // namespace baton::sys
