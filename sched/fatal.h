// Ends the process for a programming error, with one sentence that names the fiber:
//   baton: fiber 17 "accept": unlock of a mutex that is not locked
#pragma once

namespace baton::sched {

// printf-like. Writes to stderr without allocating, then abort().
[[noreturn]] void fatal(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

// A line on stderr, prefixed "baton: ". For things that happen once and that an operator must know.
void warn(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

// What precedes the sentence: `fiber 17 "accept"` or `thread 4711`. Async-signal-safe.
void describe_caller(char* buffer, unsigned size) noexcept;

}  // namespace baton::sched
