// Public API: typed calls that make descriptors out of events: counters, timers, changes of files, signals, and other
// descriptors' readiness. The rules that files.h states for all typed calls apply here, too.
//
// What these descriptors tell is read with sys::read, which holds a thread while it waits. file::adopt() makes the
// fiber wait instead. Pass the CLOEXEC flag of each unless children are to inherit the descriptor.
#pragma once

#include <baton/syscall/c_string.h>
#include <baton/syscall/result.h>

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <cstdint>
#include <span>

namespace baton::sys {

// Makes a counter. Writing 8 bytes adds, reading 8 bytes takes all (one with EFD_SEMAPHORE). flags: EFD_CLOEXEC,
// EFD_NONBLOCK, EFD_SEMAPHORE. Between fibers use baton's event, semaphore or channel.
result<int> eventfd(unsigned value, int flags) noexcept;

// Makes a timer; sets it (flags: TFD_TIMER_ABSTIME; a zero it_value stops it; `former` may be null); reads it. Reading
// 8 bytes from the descriptor waits until the timer has expired, and says how often. Between fibers use baton's timer.
result<int> timerfd_create(int clock, int flags) noexcept;
result<void> timerfd_settime(int fd, int flags, const ::itimerspec& value, ::itimerspec* former = nullptr) noexcept;
result<::itimerspec> timerfd_gettime(int fd) noexcept;

// Makes a queue of changes of files (IN_CLOEXEC, IN_NONBLOCK). What is read from it is a row of struct inotify_event.
result<int> inotify_init1(int flags) noexcept;
// Switches. Watches what `path` names (mask: IN_…) and returns the watch's number.
result<int> inotify_add_watch(int fd, const c_string& path, std::uint32_t mask) noexcept;
result<void> inotify_rm_watch(int fd, int watch) noexcept;

// Makes a queue of signals (fd -1), or changes the set of one. It gets only signals that are blocked in every thread,
// which the runtime's threads do not block: baton::os_signals is the way to wait for signals here.
result<int> signalfd(int fd, const ::sigset_t& signals, int flags) noexcept;

// An epoll set of one's own (EPOLL_CLOEXEC), for a library that asks for one. baton's streams and files do not need it.
result<int> epoll_create1(int flags) noexcept;
result<void> epoll_ctl(int set, int operation, int fd, ::epoll_event* event) noexcept;
// Switches. Returns how many events were written to `into`; 0: none within timeout_ms milliseconds; negative timeout:
// waits for ever; 0: only looks, and then the call does not switch. After a signal it continues with the remaining
// time.
result<int> epoll_wait(int set, std::span<::epoll_event> into, int timeout_ms) noexcept;

}  // namespace baton::sys
