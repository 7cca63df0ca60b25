// A typed trap, of which typed_call.h and nonblocking.h make the typed calls. Internal to syscall/.
//
//   call<Nr, T>(args...)   traps; the scheduler is not told
//
// EINTR is retried unless on_eintr::report says that the caller is to see it.
#pragma once

#include <baton/sched/platform/atomic.h>  // BATON_TSAN
#include <baton/sched/platform/pending_handlers.h>
#include <baton/syscall/raw_syscall.h>

#include <sys/syscall.h>
#include <cerrno>

#if BATON_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace baton::sys::detail {

enum class on_eintr { retry, report };

#if BATON_TSAN
// ThreadSanitizer sees what the C library's functions do, but not a trap. It would not know that everything before a
// write happens before the read that sees the write. There is one object for all descriptors, as ThreadSanitizer itself
// has one for all sockets.
inline char kernel_order;

constexpr bool publishes(long nr) {
  return nr == SYS_write || nr == SYS_writev || nr == SYS_pwrite64 || nr == SYS_pwritev || nr == SYS_pwritev2 ||
         nr == SYS_sendto || nr == SYS_sendmsg || nr == SYS_sendmmsg || nr == SYS_sendfile || nr == SYS_splice ||
         nr == SYS_tee || nr == SYS_vmsplice || nr == SYS_copy_file_range || nr == SYS_connect || nr == SYS_shutdown ||
         nr == SYS_close || nr == SYS_flock || nr == SYS_fcntl || nr == SYS_kill || nr == SYS_tgkill ||
         nr == SYS_pidfd_send_signal;
}
constexpr bool observes(long nr) {
  return nr == SYS_read || nr == SYS_readv || nr == SYS_pread64 || nr == SYS_preadv || nr == SYS_preadv2 ||
         nr == SYS_recvfrom || nr == SYS_recvmsg || nr == SYS_recvmmsg || nr == SYS_accept4 || nr == SYS_ppoll ||
         nr == SYS_epoll_pwait || nr == SYS_wait4 || nr == SYS_waitid || nr == SYS_sendfile || nr == SYS_splice ||
         nr == SYS_tee || nr == SYS_copy_file_range || nr == SYS_flock || nr == SYS_fcntl;
}
#endif

template <long Nr, class T, on_eintr OnEintr = on_eintr::retry, syscall_argument... Args>
result<T> call(Args... args) noexcept {
#if BATON_TSAN
  if constexpr (publishes(Nr)) __tsan_release(&kernel_order);
#endif
  long answer;
  do {
    answer = trap(Nr, args...);
    if (answer == -EINTR) sched::platform::run_pending_handlers();
  } while (OnEintr == on_eintr::retry && answer == -EINTR);
#if BATON_TSAN
  if constexpr (observes(Nr)) {
    if (answer >= 0) __tsan_acquire(&kernel_order);
  }
#endif
  return result_of<T>(answer);
}

}  // namespace baton::sys::detail
