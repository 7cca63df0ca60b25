// The signal mask. Fibers run user code, so the threads that run them must have the same signals open as the rest of
// the process: raise() signals the calling thread, and what user code starts there (posix_spawn, fork and exec, system,
// std::thread) inherits the mask. A signal that is sent to the process goes to the main thread as long as that has it
// open, so most signals still do.
//
// These threads block what both the main thread and the thread that starts the runtime block. The mask of only one of
// them would be wrong: the starter may be a worker of a library that blocks all signals, and the main thread may block
// all of them just now, inside posix_spawn or pthread_create.
//
// A handler may interrupt a runtime section. It does no harm: it does not call the runtime; the section goes on when
// the handler returns; and at every instruction the stack pointer is on a stack that this thread owns (context_jump
// moves it from one stack to the other in one instruction, and the arriving side gives a stack away). Every system call
// in the runtime treats EINTR as an early return or tries again.
//
// A new thread blocks all signals until it has its name. Its creator blocks them, too, while it starts the thread.
//
// The timer slack. A thread inherits its slack, and its default slack, from its creator. So the monitor has the
// process's slack while it starts a thread.
//
// The stack. Static TLS comes out of a thread's stack, so what the C library needs is added to the size. Where the
// library does not tell how much that is, pthread_create fails with EINVAL, and create() tries again with a larger
// stack.
#include <baton/sched/platform/thread.h>

#include <baton/sched/platform/atomic.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <cfenv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <new>

// Weak: a static executable has none.
extern "C" __attribute__((weak)) void* dlsym(void*, const char*) noexcept;

namespace baton::sched::platform {

namespace {

// The native context runs the scheduler's own shallow loop. Of user code it runs only thread_local destructors.
constexpr std::size_t stack_bytes = std::size_t{256} * 1024;
constexpr std::size_t stack_bytes_tried = std::size_t{64} * 1024 * 1024;

// note_process() writes it while no thread reads it.
sigset_t process_mask;
int process_timer_slack = 0;  // ns; 0: the thread's own default

struct start_args {
  void (*fn)(void*);
  void* arg;
  signals_of_thread signals;
  char name[16];
};

// For one thread at a time, so that the first ones start also where there is no memory.
start_args kept_args;
atomic<bool> kept_args_used{false};

start_args* make_args(const start_args& from) noexcept {
  // acquire: pairs with the release of free_args(), after which no thread reads them any more.
  if (kept_args_used.exchange(true, mo::acquire)) return new (std::nothrow) start_args(from);
  kept_args = from;
  return &kept_args;
}

void free_args(start_args* args) noexcept {
  if (args != &kept_args) {
    delete args;
  } else {
    kept_args_used.store(false, mo::release);  // pairs with the acquire in make_args()
  }
}

sigset_t all_but_faults() noexcept {
  sigset_t set;
  ::sigfillset(&set);
  for (const int open : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF}) ::sigdelset(&set, open);
  return set;
}

void* thread_main(void* p) {
  auto* args = static_cast<start_args*>(p);
  const start_args copy = *args;
  free_args(args);
  ::pthread_setname_np(::pthread_self(), copy.name);
  set_default_fp_mode();
  // The creator's mask blocked all signals until here. A thread that is to block them keeps that mask.
  if (copy.signals == signals_of_thread::as_the_process) ::pthread_sigmask(SIG_SETMASK, &process_mask, nullptr);
  copy.fn(copy.arg);
  return nullptr;
}

// Reads the main thread's mask of blocked signals. Returns false if the kernel does not tell.
bool read_main_thread_mask(unsigned long long* mask) noexcept {
  char path[64];
  const int pid = ::getpid();
  std::snprintf(path, sizeof path, "/proc/self/task/%d/status", pid);
  int fd = -1;
  do {
    fd = ::open(path, O_RDONLY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return false;
  char text[4096];
  std::size_t size = 0;
  while (size < sizeof text - 1) {
    const ssize_t n = ::read(fd, text + size, sizeof text - 1 - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    size += static_cast<std::size_t>(n);
  }
  ::close(fd);
  text[size] = '\0';
  const char* const line = std::strstr(text, "\nSigBlk:");
  if (line == nullptr) return false;
  *mask = std::strtoull(line + std::strlen("\nSigBlk:"), nullptr, 16);
  return true;
}

// Returns how much of its stack a thread needs for static TLS and a signal frame, or 0 if the C library does not tell.
std::size_t stack_used_by_libc(const pthread_attr_t* attr) noexcept {
  using get_minstack = std::size_t (*)(const pthread_attr_t*);
  // Looked up by name: the version of a private symbol would bind this library to one C library.
  if (dlsym == nullptr) return 0;
  const auto get = reinterpret_cast<get_minstack>(dlsym(RTLD_DEFAULT, "__pthread_get_minstack"));
  return get != nullptr ? get(attr) : 0;
}

int create(pthread_t* started, start_args* args) noexcept {
  pthread_attr_t attr;
  if (const int error = ::pthread_attr_init(&attr); error != 0) return error;
  int error = EINVAL;
  for (std::size_t size = stack_bytes + stack_used_by_libc(&attr); error == EINVAL && size <= stack_bytes_tried;
       size *= 2) {
    error = ::pthread_attr_setstacksize(&attr, size);
    if (error == 0) error = ::pthread_create(started, &attr, thread_main, args);
  }
  ::pthread_attr_destroy(&attr);
  return error;
}

}  // namespace

void note_process() noexcept {
  const int saved = errno;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &process_mask);
  if (::getpid() != thread_id()) {
    // The main thread may block all signals just now, but only for a short time.
    constexpr int looks = 5;
    constexpr timespec pause{0, 200'000};
    for (int i = 0; i < looks && ::sigisemptyset(&process_mask) == 0; ++i) {
      if (i > 0) ::nanosleep(&pause, nullptr);
      unsigned long long of_main = 0;
      if (!read_main_thread_mask(&of_main)) break;
      for (int signal = 1; signal <= 64; ++signal) {
        if ((of_main >> (signal - 1) & 1) == 0) ::sigdelset(&process_mask, signal);
      }
    }
  }
  const int slack = ::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  process_timer_slack = slack > 0 ? slack : 0;
  errno = saved;
}

int start_thread(void (*fn)(void*), void* arg, const char* name, signals_of_thread signals,
                 thread_handle* started) noexcept {
  start_args given{fn, arg, signals, {}};
  for (std::size_t i = 0; i + 1 < sizeof given.name && name[i] != '\0'; ++i) given.name[i] = name[i];
  start_args* const args = make_args(given);
  if (args == nullptr) return ENOMEM;
  const sigset_t blocked = all_but_faults();
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
  const int slack = ::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  const bool other_slack = slack > 0 && slack != process_timer_slack;
  if (other_slack) ::prctl(PR_SET_TIMERSLACK, process_timer_slack, 0, 0, 0);
  const int error = create(started, args);
  if (other_slack) ::prctl(PR_SET_TIMERSLACK, slack, 0, 0, 0);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) free_args(args);
  return error;
}

void join_thread(thread_handle thread) noexcept { ::pthread_join(thread, nullptr); }
bool join_thread_if_ended(thread_handle thread) noexcept { return ::pthread_tryjoin_np(thread, nullptr) == 0; }
void detach_thread(thread_handle thread) noexcept { ::pthread_detach(thread); }

void set_precise_timers() noexcept { ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); }

// On an idle CPU a sleep lasts longer by the slack. A short sleep stays as it is: it might end too early by most of its
// length.
std::int64_t less_timer_slack(std::int64_t timeout_ns) noexcept {
  return timeout_ns > 2 * std::int64_t{process_timer_slack} ? timeout_ns - process_timer_slack : timeout_ns;
}

void set_default_fp_mode() noexcept { std::fesetenv(FE_DFL_ENV); }

std::int32_t thread_id() noexcept { return static_cast<std::int32_t>(::syscall(SYS_gettid)); }

void thread_stack(void** bottom, std::size_t* size) noexcept {
  pthread_attr_t attr;
  *bottom = nullptr;
  *size = 0;
  if (::pthread_getattr_np(::pthread_self(), &attr) != 0) return;
  ::pthread_attr_getstack(&attr, bottom, size);
  ::pthread_attr_destroy(&attr);
}

}  // namespace baton::sched::platform
