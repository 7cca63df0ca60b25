// Everything but the CPU clock comes from /proc/self/task/<tid>. If a tid is reused meanwhile, the answers are those of
// the new thread. A caller to which this matters compares something else as well.
#include <baton/sched/platform/thread_state.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace baton::sched::platform {

namespace {

// Reads the beginning of /proc/self/task/<tid>/<name>. Returns false if it cannot be read.
bool read_task_file(std::int32_t tid, const char* name, char (&text)[256]) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
  int fd = -1;
  do {
    fd = ::open(path, O_RDONLY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return false;
  ssize_t n = -1;
  do {
    n = ::read(fd, text, sizeof text - 1);
  } while (n < 0 && errno == EINTR);
  ::close(fd);
  if (n <= 0) return false;
  text[n] = '\0';
  return true;
}

// Reads the next number at `text` and moves `text` past it. Returns false if there is none.
bool next_number(const char*& text, std::uintptr_t& value) noexcept {
  char* end = nullptr;
  const auto n = std::strtoull(text, &end, 0);
  if (end == text) return false;
  value = static_cast<std::uintptr_t>(n);
  text = end;
  return true;
}

}  // namespace

std::int64_t thread_cpu_ns(std::int32_t tid) noexcept {
  // The kernel's encoding of "the CPU clock of that thread" (what pthread_getcpuclockid computes).
  const auto clock = static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | 6U);
  timespec ts{};
  if (tid <= 0 || ::clock_gettime(clock, &ts) != 0) return -1;  // 0 would be the calling thread
  return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

std::int64_t thread_run_delay_ns(std::int32_t tid) noexcept {
  char text[256];
  if (!read_task_file(tid, "schedstat", text)) return -1;
  const char* delay = std::strchr(text, ' ');  // "on the CPU, waiting for it, time slices"
  std::uintptr_t ns = 0;
  if (delay == nullptr || !next_number(delay, ns)) return -1;
  // All three are 0 where the kernel was built without the counters: an existing thread has run.
  return std::strncmp(text, "0 0 0", 5) == 0 ? -1 : static_cast<std::int64_t>(ns);
}

int thread_count() noexcept {
  // A directory's link count is itself, its name, and one for each directory in it.
  struct stat s {};
  if (::stat("/proc/self/task", &s) != 0 || s.st_nlink < 3) return -1;
  return static_cast<int>(s.st_nlink) - 2;
}

char thread_letter(std::int32_t tid) noexcept {
  char text[256];
  if (!read_task_file(tid, "stat", text)) return '\0';
  const char* const name_end = std::strrchr(text, ')');  // "tid (name) S ..."
  return name_end != nullptr && name_end[1] == ' ' ? name_end[2] : '\0';
}

thread_call_state thread_call(std::int32_t tid) noexcept {
  thread_call_state s;
  char text[256];
  if (!read_task_file(tid, "syscall", text)) return s;
  if (std::strncmp(text, "running", 7) == 0) {
    s.what = thread_call_state::kind::running;
    return s;
  }
  // "number, six arguments, sp, pc", or "-1, sp, pc".
  char* end = nullptr;
  const long number = std::strtol(text, &end, 10);
  if (end == text) return s;
  const char* rest = end;
  if (number >= 0) {
    for (auto& argument : s.arguments) {
      if (!next_number(rest, argument)) return s;
    }
  }
  if (!next_number(rest, s.sp) || !next_number(rest, s.pc)) return s;
  s.number = number;
  s.what = number >= 0 ? thread_call_state::kind::in_call : thread_call_state::kind::outside;
  return s;
}

}  // namespace baton::sched::platform
