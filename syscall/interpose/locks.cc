// Threads that wait for each other. A lock is mostly free: it is tried first, and only what has to wait is declared.
//
// syscall() is here because std::atomic::wait(), Abseil's locks and others wait by it.
#include "call.h"

#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <threads.h>
#include <ctime>

namespace baton::interpose {

namespace {

// errno after a try that had to be given up does not concern the caller.
[[gnu::always_inline]] inline bool taken(::sem_t* semaphore) noexcept {
  const int saved = errno;
  if (::sem_trywait(semaphore) == 0) return true;
  errno = saved;
  return false;
}

[[gnu::always_inline]] inline bool waits(long number, long operation) noexcept {
#ifdef SYS_futex_waitv
  if (number == SYS_futex_waitv) return true;
#endif
  if (number != SYS_futex) return false;
  const long command = operation & FUTEX_CMD_MASK;
  return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI ||
         command == FUTEX_WAIT_REQUEUE_PI;
}

}  // namespace

// NOLINTBEGIN(bugprone-macro-parentheses): parameters and arguments have theirs
// try_it gives `busy` if the call would have to wait.
#define BATON_WRAP_LOCK(name, parameters, arguments, try_it, busy)                    \
  BATON_NEXT(int, name, parameters)                                                   \
  int wrap_##name parameters {                                                        \
    if (!may_be_on_fiber()) return next_##name() arguments;                           \
    if (const int error = try_it; __builtin_expect(error != (busy), 1)) return error; \
    const declared call(BATON_SITE(name));                                            \
    return next_##name() arguments;                                                   \
  }
// NOLINTEND(bugprone-macro-parentheses)

BATON_WRAP_LOCK(pthread_mutex_lock, (::pthread_mutex_t * m), (m), ::pthread_mutex_trylock(m), EBUSY)
BATON_WRAP_LOCK(pthread_mutex_timedlock, (::pthread_mutex_t * m, const ::timespec* until), (m, until),
                ::pthread_mutex_trylock(m), EBUSY)
BATON_WRAP_LOCK(pthread_mutex_clocklock, (::pthread_mutex_t * m, ::clockid_t clock, const ::timespec* until),
                (m, clock, until), ::pthread_mutex_trylock(m), EBUSY)
BATON_WRAP_LOCK(pthread_rwlock_rdlock, (::pthread_rwlock_t * l), (l), ::pthread_rwlock_tryrdlock(l), EBUSY)
BATON_WRAP_LOCK(pthread_rwlock_timedrdlock, (::pthread_rwlock_t * l, const ::timespec* until), (l, until),
                ::pthread_rwlock_tryrdlock(l), EBUSY)
BATON_WRAP_LOCK(pthread_rwlock_clockrdlock, (::pthread_rwlock_t * l, ::clockid_t clock, const ::timespec* until),
                (l, clock, until), ::pthread_rwlock_tryrdlock(l), EBUSY)
BATON_WRAP_LOCK(pthread_rwlock_wrlock, (::pthread_rwlock_t * l), (l), ::pthread_rwlock_trywrlock(l), EBUSY)
BATON_WRAP_LOCK(pthread_rwlock_timedwrlock, (::pthread_rwlock_t * l, const ::timespec* until), (l, until),
                ::pthread_rwlock_trywrlock(l), EBUSY)
BATON_WRAP_LOCK(pthread_rwlock_clockwrlock, (::pthread_rwlock_t * l, ::clockid_t clock, const ::timespec* until),
                (l, clock, until), ::pthread_rwlock_trywrlock(l), EBUSY)
BATON_WRAP_LOCK(mtx_lock, (::mtx_t * m), (m), ::mtx_trylock(m), thrd_busy)
BATON_WRAP_LOCK(mtx_timedlock, (::mtx_t * m, const ::timespec* until), (m, until), ::mtx_trylock(m), thrd_busy)
BATON_WRAP_LOCK(sem_wait, (::sem_t * s), (s), (taken(s) ? 0 : EAGAIN), EAGAIN)
BATON_WRAP_LOCK(sem_timedwait, (::sem_t * s, const ::timespec* until), (s, until), (taken(s) ? 0 : EAGAIN), EAGAIN)
BATON_WRAP_LOCK(sem_clockwait, (::sem_t * s, ::clockid_t clock, const ::timespec* until), (s, clock, until),
                (taken(s) ? 0 : EAGAIN), EAGAIN)

BATON_WRAP(int, pthread_cond_wait, (::pthread_cond_t * c, ::pthread_mutex_t* m), (c, m))
BATON_WRAP(int, pthread_cond_timedwait, (::pthread_cond_t * c, ::pthread_mutex_t* m, const ::timespec* until),
           (c, m, until))
BATON_WRAP(int, pthread_cond_clockwait,
           (::pthread_cond_t * c, ::pthread_mutex_t* m, ::clockid_t clock, const ::timespec* until),
           (c, m, clock, until))
BATON_WRAP(int, cnd_wait, (::cnd_t * c, ::mtx_t* m), (c, m))
BATON_WRAP(int, cnd_timedwait, (::cnd_t * c, ::mtx_t* m, const ::timespec* until), (c, m, until))
BATON_WRAP(int, pthread_barrier_wait, (::pthread_barrier_t * b), (b))
BATON_WRAP(int, pthread_join, (::pthread_t thread, void** result), (thread, result))
BATON_WRAP(int, pthread_timedjoin_np, (::pthread_t thread, void** result, const ::timespec* until),
           (thread, result, until))
BATON_WRAP(int, pthread_clockjoin_np, (::pthread_t thread, void** result, ::clockid_t clock, const ::timespec* until),
           (thread, result, clock, until))
BATON_WRAP(int, thrd_join, (::thrd_t thread, int* result), (thread, result))

BATON_NEXT(long, syscall, (long number, long a, long b, long c, long d, long e, long f))
long wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
  if (!may_be_on_fiber() || !waits(number, b)) return next_syscall()(number, a, b, c, d, e, f);
  const declared call(BATON_SITE(syscall));
  return next_syscall()(number, a, b, c, d, e, f);
}

}  // namespace baton::interpose

extern "C" const char baton_interpose_locks;
extern "C" const char baton_interpose_locks = 0;  // see linked.cc
