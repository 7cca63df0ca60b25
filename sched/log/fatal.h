// Ends the process for a programming error, with one sentence that names the fiber:
//   baton: fiber 17 "accept": unlock of a mutex that is not locked
//
// All three write one line, by log.h. Control characters in it are escaped (plain_text.h). They neither allocate
// nor lock.
#pragma once

namespace baton::sched {

// printf-like. Writes the line, waits for who reads stderr, for a second at most, then abort().
[[noreturn]] void fatal(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

// A line on stderr, prefixed "baton: ". For things that happen once and that an operator must know. Never blocks:
// what stderr does not take is lost, and counted.
void warn(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));
// The same, for when the process is about to end: waits as fatal() does.
void last_warning(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

// What precedes the sentence: `fiber 17 "accept"` or `thread 4711`. Async-signal-safe. A buffer of fiber_label_max
// bytes (plain_text.h) is always enough.
void describe_caller(char* buffer, unsigned size) noexcept;

// Writes the name of the fiber that the calling thread runs, with a NUL. Returns false if the thread runs none: then
// the thread's number is the name. Async-signal-safe.
using caller_namer = bool (*)(char* buffer, unsigned size) noexcept;
// Process-wide. The scheduler registers its namer when it starts: this room names nothing above it.
void set_caller_namer(caller_namer namer) noexcept;

}  // namespace baton::sched
