// Typed calls on processes, threads and their limits. The rules that files.h states for all typed calls
// hold here too.
#pragma once

#include <baton/syscall/result.h>

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>

namespace baton::sys {

// These never fail. gettid names the thread that the fiber is on just now.
result<::pid_t> getpid() noexcept;
result<::pid_t> getppid() noexcept;
result<::pid_t> gettid() noexcept;

// Sends a signal to a process (pid > 0) or a group (0: one's own, -n: group n); signal 0 only asks
// whether one could.
result<void> kill(::pid_t pid, int signal) noexcept;

// RLIMIT_…, of this process.
result<void> getrlimit(int resource, ::rlimit* into) noexcept;
result<::rlimit> getrlimit(int resource) noexcept;
result<void> setrlimit(int resource, const ::rlimit& limit) noexcept;

// (S), not with WNOHANG. The child that changed state, as waitpid has it (pid -1: any); 0: none did, with
// WNOHANG. `status` and `usage` may be null. A thread waits.
result<::pid_t> wait4(::pid_t pid, int* status, int options, ::rusage* usage = nullptr) noexcept;

}  // namespace baton::sys
