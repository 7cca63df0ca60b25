// Public API: typed calls on processes, threads and their limits. The rules that files.h states for all typed calls
// apply here, too.
#pragma once

#include <baton/syscall/result.h>
#include <baton/syscall/wait_status.h>

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <csignal>

namespace baton::sys {

// These never fail. gettid returns the id of the thread that the fiber is on at that moment.
result<::pid_t> getpid() noexcept;
result<::pid_t> getppid() noexcept;
result<::pid_t> gettid() noexcept;

// Sends a signal to a process (pid > 0) or a group (0: the caller's own, -n: group n). Signal 0 only asks whether the
// caller may send one.
result<void> kill(::pid_t pid, int signal) noexcept;

// Sends a signal to one thread of a process. A fiber is not a thread: with the caller's own id, use it while the fiber
// is locked to its thread.
result<void> tgkill(::pid_t pid, ::pid_t thread, int signal) noexcept;

// Returns a descriptor for a process (a pidfd), which never comes to mean another one when the id is reused. It is
// readable once the process has ended. It is closed on exec. ESRCH: no such process.
result<int> pidfd_open(::pid_t pid, unsigned flags = 0) noexcept;
// Sends a signal to that process. ESRCH once it has ended and has been waited for. `info` may be null.
result<void> pidfd_send_signal(int pidfd, int signal, ::siginfo_t* info = nullptr, unsigned flags = 0) noexcept;
// Returns a duplicate of that process's descriptor `fd`, closed on exec. EPERM unless the caller may trace the process.
result<int> pidfd_getfd(int pidfd, int fd, unsigned flags = 0) noexcept;

// Sessions and process groups. pid 0: this process; group 0: a group that is named as the process. setsid makes a new
// session (EPERM if the process leads a group).
result<::pid_t> setsid() noexcept;
result<::pid_t> getsid(::pid_t pid) noexcept;
result<void> setpgid(::pid_t pid, ::pid_t group) noexcept;
result<::pid_t> getpgid(::pid_t pid) noexcept;
result<::pid_t> getpgrp() noexcept;

// What has been used: RUSAGE_SELF (the process), RUSAGE_CHILDREN (those waited for), RUSAGE_THREAD (the thread that the
// fiber is on at that moment).
result<::rusage> getrusage(int who) noexcept;

// RLIMIT_…, of this process.
result<void> getrlimit(int resource, ::rlimit* into) noexcept;
result<::rlimit> getrlimit(int resource) noexcept;
result<void> setrlimit(int resource, const ::rlimit& limit) noexcept;
// Of any process (0: this one). Sets the limit unless `limit` is null, and writes the former one unless `former` is
// null.
result<void> prlimit(::pid_t pid, int resource, const ::rlimit* limit, ::rlimit* former) noexcept;

// Switches, except with WNOHANG. Returns the child that changed state, chosen as by waitpid (pid -1: any). With
// WNOHANG, returns 0 if there is none. `status` and `usage` may be null. A thread waits.
result<::pid_t> wait4(::pid_t pid, int* status, int options, ::rusage* usage = nullptr) noexcept;
// Switches, except with WNOHANG. Does the same for one child, whose change of state it returns. With WNOHANG, a child
// that runs on gives wait_status(). If pid names several children, the other form says which one it was. ECHILD: it is
// no child of this process, or it has been waited for, or this process ignores SIGCHLD.
result<wait_status> wait4(::pid_t pid, int options = 0) noexcept;
// Switches, except with WNOHANG. Waits for the changes that `options` name (WEXITED, WSTOPPED, WCONTINUED; WNOWAIT
// leaves the child to be waited for again) of P_PID, P_PGID, P_ALL or P_PIDFD. `info` and `usage` may be null. With
// WNOHANG and no change, info->si_pid is 0.
result<void> waitid(::idtype_t type, ::id_t id, ::siginfo_t* info, int options, ::rusage* usage = nullptr) noexcept;

}  // namespace baton::sys
