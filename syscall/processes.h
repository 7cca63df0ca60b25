// Public API: typed calls on processes, threads and their limits. The rules that files.h states for all typed calls
// apply here, too.
#pragma once

#include <baton/syscall/result.h>
#include <baton/syscall/wait_status.h>

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>

namespace baton::sys {

// These never fail. gettid returns the id of the thread that the fiber is on at that moment.
result<::pid_t> getpid() noexcept;
result<::pid_t> getppid() noexcept;
result<::pid_t> gettid() noexcept;

// Sends a signal to a process (pid > 0) or a group (0: the caller's own, -n: group n). Signal 0 only asks whether the
// caller may send one.
result<void> kill(::pid_t pid, int signal) noexcept;

// RLIMIT_…, of this process.
result<void> getrlimit(int resource, ::rlimit* into) noexcept;
result<::rlimit> getrlimit(int resource) noexcept;
result<void> setrlimit(int resource, const ::rlimit& limit) noexcept;

// Switches, except with WNOHANG. Returns the child that changed state, chosen as by waitpid (pid -1: any). With
// WNOHANG, returns 0 if there is none. `status` and `usage` may be null. A thread waits.
result<::pid_t> wait4(::pid_t pid, int* status, int options, ::rusage* usage = nullptr) noexcept;

// Switches, except with WNOHANG. The same for one child; returns how it changed. With WNOHANG, EAGAIN if it has not.
// ECHILD: it is no child of this process, or it has been waited for, or this process ignores SIGCHLD.
result<wait_status> wait4(::pid_t pid, int options = 0) noexcept;

// Returns a descriptor (with O_CLOEXEC) for a process, any that runs or is not reaped yet. It becomes readable when the
// process ends, and never stands for another process that gets the same id later. ESRCH: there is no such process.
result<int> pidfd_open(::pid_t pid, unsigned flags = 0) noexcept;

// Sends a signal to the process that the descriptor stands for; 0 only asks. ESRCH: it has ended and been reaped.
result<void> pidfd_send_signal(int pidfd, int signal) noexcept;

}  // namespace baton::sys
