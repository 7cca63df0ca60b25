// Formats into a buffer on the stack and writes once. No function here allocates or locks; each is usable in any state.
#include <baton/sched/log/fatal.h>

#include <baton/sched/log/log.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/thread.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace baton::sched {

namespace {

namespace mo = platform::mo;

constexpr std::size_t line_max = 1024;

platform::atomic<caller_namer> namer{nullptr};

// Writes one line, whatever the arguments hold.
void write_line(const char* who, const char* format, std::va_list args, std::int64_t wait_until_ns) noexcept {
  char said[line_max];
  char line[line_max];
  const int wanted = std::vsnprintf(said, sizeof said, format, args);
  std::size_t length = wanted > 0 ? static_cast<std::size_t>(wanted) : 0;
  // The text is cut at a character. What follows the cut is unknown, so an incomplete character is dropped.
  if (length >= sizeof said) length = whole_characters({said, sizeof said}, sizeof said - 1);
  auto used =
      static_cast<std::size_t>(std::snprintf(line, sizeof line, "baton: %s%s", who, who[0] != '\0' ? ": " : ""));
  used += make_plain({said, length}, {line + used, sizeof line - used - 1});
  line[used++] = '\n';
  log_text({line, used}, wait_until_ns);
}

}  // namespace

void set_caller_namer(caller_namer n) noexcept {
  namer.store(n, mo::release);  // pairs with the load in describe_caller()
}

void describe_caller(char* buffer, unsigned size) noexcept {
  const caller_namer n = namer.load(mo::acquire);  // pairs with set_caller_namer()
  if (n == nullptr || !n(buffer, size)) std::snprintf(buffer, size, "thread %d", platform::thread_id());
}

void fatal(const char* format, ...) noexcept {
  char who[fiber_label_max];
  describe_caller(who, sizeof who);
  std::va_list args;
  va_start(args, format);
  write_line(who, format, args, log_patience_ends_ns());
  va_end(args);
  std::abort();
}

void warn(const char* format, ...) noexcept {
  std::va_list args;
  va_start(args, format);
  write_line("", format, args, 0);
  va_end(args);
}

void last_warning(const char* format, ...) noexcept {
  std::va_list args;
  va_start(args, format);
  write_line("", format, args, log_patience_ends_ns());
  va_end(args);
}

}  // namespace baton::sched
