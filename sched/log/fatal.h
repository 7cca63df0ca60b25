// fatal() ends the process because of a programming error, with one sentence that names the fiber:
//   baton: fiber 17 "accept": unlock of a mutex that is not locked
//
// fatal(), warn() and last_warning() each write one line through log.h. Control characters in it are escaped
// (plain_text.h). None of them allocates or locks.
#pragma once

namespace baton::sched {

// printf-like. Writes the line, waits for a reader of stderr for at most a second, then calls abort().
[[noreturn]] void fatal(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

// Writes a line on stderr, prefixed "baton: ". It is for events that happen once and that an operator must know of.
// Never blocks: what stderr does not take is lost and counted.
void warn(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));
// Does the same when the process is about to end: waits as fatal() does.
void last_warning(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

// Writes what precedes the sentence: `fiber 17 "accept"` or `thread 4711`. Async-signal-safe. A buffer of
// fiber_label_max bytes (plain_text.h) is always large enough.
void describe_caller(char* buffer, unsigned size) noexcept;

// Writes the name of the fiber that the calling thread runs, with a NUL. Returns false if the thread runs none; the
// thread's number is its name then. Async-signal-safe.
using caller_namer = bool (*)(char* buffer, unsigned size) noexcept;
// Process-wide. The scheduler registers its namer when it starts, because this folder names nothing above it.
void set_caller_namer(caller_namer namer) noexcept;

}  // namespace baton::sched
