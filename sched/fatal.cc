// Formats into a buffer on the stack and writes once: no allocation, no lock, usable in any state.
#include <baton/sched/fatal.h>

#include <baton/sched/machine.h>
#include <baton/sched/platform/thread.h>

#include <unistd.h>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace baton::sched {

namespace {

void write_all(const char* text, std::size_t n) noexcept {
  while (n > 0) {
    const ssize_t w = ::write(STDERR_FILENO, text, n);
    if (w <= 0) return;
    text += w;
    n -= static_cast<std::size_t>(w);
  }
}

void write_line(const char* who, const char* format, std::va_list args) noexcept {
  char line[1024];
  int n = std::snprintf(line, sizeof line, "baton: %s%s", who, who[0] != '\0' ? ": " : "");
  n += std::vsnprintf(line + n, sizeof line - static_cast<std::size_t>(n) - 1, format, args);
  if (n > static_cast<int>(sizeof line) - 2) n = static_cast<int>(sizeof line) - 2;
  line[n++] = '\n';
  write_all(line, static_cast<std::size_t>(n));
}

}  // namespace

void describe_caller(char* buffer, unsigned size) noexcept {
  const machine* const m = this_machine();
  const fiber* const f = m != nullptr ? m->my_fiber() : nullptr;
  if (f != nullptr && f->name[0] != '\0') {
    std::snprintf(buffer, size, "fiber %llu \"%s\"", static_cast<unsigned long long>(f->id), f->name);
  } else if (f != nullptr) {
    std::snprintf(buffer, size, "fiber %llu", static_cast<unsigned long long>(f->id));
  } else {
    std::snprintf(buffer, size, "thread %d", platform::thread_id());
  }
}

void fatal(const char* format, ...) noexcept {
  char who[80];
  describe_caller(who, sizeof who);
  std::va_list args;
  va_start(args, format);
  write_line(who, format, args);
  va_end(args);
  std::abort();
}

void warn(const char* format, ...) noexcept {
  std::va_list args;
  va_start(args, format);
  write_line("", format, args);
  va_end(args);
}

}  // namespace baton::sched
