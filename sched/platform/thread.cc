// Signals stay with the application's own threads; only the synchronous ones are left open, for the
// overflow report.
#include <baton/sched/platform/thread.h>

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <initializer_list>
#include <new>

namespace baton::sched::platform {

namespace {

struct start_args {
  void (*fn)(void*);
  void* arg;
  char name[16];
};

void* thread_main(void* p) {
  auto* args = static_cast<start_args*>(p);
  const start_args copy = *args;
  delete args;
  ::pthread_setname_np(::pthread_self(), copy.name);
  copy.fn(copy.arg);
  return nullptr;
}

}  // namespace

int start_thread(void (*fn)(void*), void* arg, const char* name, thread_handle* started) noexcept {
  auto* args = new (std::nothrow) start_args{fn, arg, {}};
  if (args == nullptr) return 12;  // ENOMEM
  for (std::size_t i = 0; i + 1 < sizeof args->name && name[i] != '\0'; ++i) args->name[i] = name[i];
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int open : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF}) sigdelset(&blocked, open);
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
  pthread_attr_t attr;
  ::pthread_attr_init(&attr);
  // The native context runs the scheduler's own shallow loop, nothing of the user's but
  // thread_local destructors.
  ::pthread_attr_setstacksize(&attr, 256 * 1024);
  const int error = ::pthread_create(started, &attr, thread_main, args);
  ::pthread_attr_destroy(&attr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) delete args;
  return error;
}

void join_thread(thread_handle thread) noexcept { ::pthread_join(thread, nullptr); }
void detach_thread(thread_handle thread) noexcept { ::pthread_detach(thread); }

void set_precise_timers() noexcept { ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); }

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
