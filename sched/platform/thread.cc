// Ms are detached: they are never joined, they end by themselves or stop at exit. Signals stay with
// the application's own threads; only the synchronous ones are left open, for the overflow report.
#include <baton/sched/platform/thread.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
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

int start_thread(void (*fn)(void*), void* arg, const char* name) noexcept {
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
  ::pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  // The native context runs the scheduler's own shallow loop, nothing of the user's but
  // thread_local destructors.
  ::pthread_attr_setstacksize(&attr, 256 * 1024);
  pthread_t thread;
  const int error = ::pthread_create(&thread, &attr, thread_main, args);
  ::pthread_attr_destroy(&attr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) delete args;
  return error;
}

void set_precise_timers() noexcept { ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); }

std::int32_t thread_id() noexcept { return static_cast<std::int32_t>(::syscall(SYS_gettid)); }

std::int64_t thread_cpu_ns(std::int32_t tid) noexcept {
  // The kernel's encoding of "the CPU clock of that thread" (what pthread_getcpuclockid computes).
  const auto clock = static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | 6U);
  timespec ts{};
  if (::clock_gettime(clock, &ts) != 0) return 0;
  return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

namespace {

// The beginning of /proc/self/task/<tid>/<name>; false if it cannot be read.
bool read_task_file(std::int32_t tid, const char* name, char (&text)[256]) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return false;
  text[n] = '\0';
  return true;
}

}  // namespace

std::int64_t thread_run_delay_ns(std::int32_t tid) noexcept {
  char text[256];
  if (!read_task_file(tid, "schedstat", text)) return 0;
  const char* const delay = std::strchr(text, ' ');  // "on the CPU, waiting for it, time slices"
  return delay != nullptr ? std::strtoll(delay, nullptr, 10) : 0;
}

bool thread_is_runnable(std::int32_t tid) noexcept {
  char text[256];
  if (!read_task_file(tid, "stat", text)) return false;
  const char* const name_end = std::strrchr(text, ')');  // "tid (name) S ..."
  return name_end != nullptr && name_end[1] != '\0' && name_end[2] == 'R';
}

void thread_stack(void** bottom, std::size_t* size) noexcept {
  pthread_attr_t attr;
  *bottom = nullptr;
  *size = 0;
  if (::pthread_getattr_np(::pthread_self(), &attr) != 0) return;
  ::pthread_attr_getstack(&attr, bottom, size);
  ::pthread_attr_destroy(&attr);
}

int allowed_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int n = CPU_COUNT(&set);
  return n > 0 ? n : 1;
}

}  // namespace baton::sched::platform
