// Public API: the kernel's scheduling of threads: CPUs and priorities. None of these calls can block. The rules that
// files.h states for all typed calls apply here, too.
//
// All of this belongs to threads, and a fiber may run on another thread after each call that switches. Set it for the
// calling thread (id 0) only while the fiber is locked to it (lock_os_thread).
#pragma once

#include <baton/syscall/result.h>

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <cstddef>

namespace baton::sys {

// The CPUs on which a thread may run. ESRCH: no such thread; EINVAL: none of these CPUs exists, or, when asking, the
// set is too small for this machine. The forms with `size` (bytes) are for sets of CPU_ALLOC; the second one returns
// how many bytes the kernel wrote, and clears the others.
result<void> sched_setaffinity(::pid_t thread, const ::cpu_set_t& cpus) noexcept;
result<::cpu_set_t> sched_getaffinity(::pid_t thread) noexcept;
result<void> sched_setaffinity(::pid_t thread, std::size_t size, const ::cpu_set_t* cpus) noexcept;
result<std::size_t> sched_getaffinity(::pid_t thread, std::size_t size, ::cpu_set_t* into) noexcept;

// The nice value, -20 to 19, of a thread, a group or a user (PRIO_PROCESS, PRIO_PGRP, PRIO_USER). Of several it is the
// least one. PRIO_PROCESS with 0 is the calling thread alone.
result<int> getpriority(int which, ::id_t who) noexcept;
result<void> setpriority(int which, ::id_t who, int nice) noexcept;

}  // namespace baton::sys
