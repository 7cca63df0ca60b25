// Public API: makes any system call and tells the scheduler: while the call blocks, the other fibers run on.
#pragma once

#include <baton/syscall/blocking.h>
#include <baton/syscall/raw_syscall.h>

namespace baton::sys {

// Switches. Makes system call `nr` (SYS_…) with up to six integers, enumerations or pointers. Does what raw_syscall
// does, but the fiber gives its P away while the call blocks, and may come back on another thread. Returns EINTR like
// any other error; does not touch errno. Thread-safe; on a plain thread it only blocks.
//
// Each call site learns whether to give the P away at once. Here a site is a list of argument types.
template <syscall_argument... Args>
requires(sizeof...(Args) <= 6) result<long> syscall(long nr, Args... args)
noexcept {
  return blocking([=]() noexcept { return raw_syscall(nr, args...); });
}

// Switches. Does the same with a number known at compile time, sys::syscall<SYS_fsync>(fd), which has a site of its
// own.
template <long Nr, syscall_argument... Args>
requires(sizeof...(Args) <= 6) result<long> syscall(Args... args)
noexcept {
  return blocking([=]() noexcept { return raw_syscall(Nr, args...); });
}

}  // namespace baton::sys
