// The calls that sleep, and those that wait for a child, a signal or a message.
#include "call.h"

#include <aio.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <ctime>

namespace baton::interpose {

BATON_WRAP(int, nanosleep, (const ::timespec* span, ::timespec* left), (span, left))
BATON_WRAP(int, clock_nanosleep, (::clockid_t clock, int flags, const ::timespec* span, ::timespec* left),
           (clock, flags, span, left))
BATON_WRAP(int, usleep, (::useconds_t span), (span))
BATON_WRAP(unsigned, sleep, (unsigned seconds), (seconds))
BATON_WRAP(int, thrd_sleep, (const ::timespec* span, ::timespec* left), (span, left))

// With WNOHANG they do not wait. These are declared as well, because their sites then are short.
BATON_WRAP(::pid_t, wait, (int* status), (status))
BATON_WRAP(::pid_t, waitpid, (::pid_t pid, int* status, int options), (pid, status, options))
BATON_WRAP(::pid_t, wait3, (int* status, int options, ::rusage* used), (status, options, used))
BATON_WRAP(::pid_t, wait4, (::pid_t pid, int* status, int options, ::rusage* used), (pid, status, options, used))
BATON_WRAP(int, waitid, (int what, ::id_t id, ::siginfo_t* info, int options), (what, id, info, options))
BATON_WRAP(int, system, (const char* command), (command))
BATON_WRAP(int, pclose, (::FILE * stream), (stream))

BATON_WRAP(int, pause, (), ())
BATON_WRAP(int, sigsuspend, (const ::sigset_t* mask), (mask))
BATON_WRAP(int, sigwait, (const ::sigset_t* set, int* signal), (set, signal))
BATON_WRAP(int, sigwaitinfo, (const ::sigset_t* set, ::siginfo_t* info), (set, info))
BATON_WRAP(int, sigtimedwait, (const ::sigset_t* set, ::siginfo_t* info, const ::timespec* timeout),
           (set, info, timeout))

BATON_WRAP(ssize_t, msgrcv, (int queue, void* into, std::size_t size, long type, int flags),
           (queue, into, size, type, flags))
BATON_WRAP(int, msgsnd, (int queue, const void* from, std::size_t size, int flags), (queue, from, size, flags))
BATON_WRAP(int, semop, (int set, ::sembuf* operations, std::size_t n), (set, operations, n))
BATON_WRAP(int, semtimedop, (int set, ::sembuf* operations, std::size_t n, const ::timespec* timeout),
           (set, operations, n, timeout))
BATON_WRAP(ssize_t, mq_receive, (::mqd_t queue, char* into, std::size_t size, unsigned* priority),
           (queue, into, size, priority))
BATON_WRAP(ssize_t, mq_timedreceive,
           (::mqd_t queue, char* into, std::size_t size, unsigned* priority, const ::timespec* until),
           (queue, into, size, priority, until))
BATON_WRAP(int, mq_send, (::mqd_t queue, const char* from, std::size_t size, unsigned priority),
           (queue, from, size, priority))
BATON_WRAP(int, mq_timedsend,
           (::mqd_t queue, const char* from, std::size_t size, unsigned priority, const ::timespec* until),
           (queue, from, size, priority, until))
BATON_WRAP(int, aio_suspend, (const ::aiocb* const list[], int n, const ::timespec* timeout), (list, n, timeout))

}  // namespace baton::interpose

extern "C" const char baton_interpose_sleeps;
extern "C" const char baton_interpose_sleeps = 0;  // see linked.cc
