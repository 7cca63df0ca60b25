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
// Switches, except with WNOHANG. Does the same for one child, whose change of state it returns. With WNOHANG, a child
// that runs on gives wait_status(). If pid names several children, the other form says which one it was.
result<wait_status> wait4(::pid_t pid, int options) noexcept;

}  // namespace baton::sys
