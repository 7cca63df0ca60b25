// Any system call, with the scheduler told: while it blocks, the other fibers run on.
#pragma once

#include <baton/syscall/blocking.h>
#include <baton/syscall/raw_syscall.h>

namespace baton::sys {

// (S) System call `nr` (SYS_…) with up to six integers, enumerations or pointers. As raw_syscall, but
// the fiber gives its P away while the kernel keeps it, and may come back on another thread. EINTR is
// returned as any other error; errno is not touched. Thread-safe; from a plain thread it just blocks.
//
// Whether to give the P away at once is learnt per call site; here a site is a list of argument types.
template <syscall_argument... Args>
requires(sizeof...(Args) <= 6) result<long> syscall(long nr, Args... args)
noexcept {
  return blocking([=]() noexcept { return raw_syscall(nr, args...); });
}

// (S) The same with the number known to the compiler, sys::syscall<SYS_fsync>(fd): a site of its own.
template <long Nr, syscall_argument... Args>
requires(sizeof...(Args) <= 6) result<long> syscall(Args... args)
noexcept {
  return blocking([=]() noexcept { return raw_syscall(Nr, args...); });
}

}  // namespace baton::sys
