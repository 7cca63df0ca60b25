// Where the runtime's own lines go: standard error, without ever blocking on it.
//
// Standard error is the file that descriptor 2 was when the process began. If descriptor 2 is closed later and becomes
// a connection or a data file, no report goes there (log.cc says what counts as a redirection).
//
// Thread safety: any thread may call any of these functions at any time. Nothing allocates or takes a lock. The write
// functions are async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace baton::sched {

// Writes the text, which must end with a newline, or as much of it as goes without waiting. Returns false if not all of
// it was written; the loss is counted, and reported before the next text. wait_until_ns (of CLOCK_MONOTONIC): how long
// to wait for a reader; 0: not at all.
bool log_text(std::string_view text, std::int64_t wait_until_ns = 0) noexcept;
// Does the same, but does not count a loss: the caller counts it.
bool try_log_text(std::string_view text) noexcept;
// Returns the deadline for log_text() until which a last text before the end of the process may wait for a reader.
[[nodiscard]] std::int64_t log_patience_ends_ns() noexcept;
// Writes to a descriptor as log_text() does, without waiting. Returns how many bytes were written.
std::size_t write_without_waiting(int fd, std::string_view text) noexcept;
// Writes to one of the user's descriptors with write(2), and waits as write(2) does. Continues after a short write and
// after EINTR. If the descriptor does not block (EAGAIN), waits until it is writable, at most a second each time.
// Returns false after any other error, or if there is no reader; the rest is not written.
bool write_all(int fd, std::string_view text) noexcept;
// Returns how many texts were not written in full and have not been reported as lost yet.
[[nodiscard]] std::uint64_t logs_lost() noexcept;

// Opens /dev/null on those of the descriptors 0, 1 and 2 that are closed, so that no connection or file becomes one of
// them. Runs when the program is loaded and at each start of the runtime.
void open_standard_descriptors() noexcept;
// From here on descriptor 2 is standard error, whatever it is. If it is closed, there is no standard error.
void log_to_stderr() noexcept;
// Does the same if descriptor 2 looks like a standard error. The runtime calls it when it starts.
void log_to_likely_stderr() noexcept;

}  // namespace baton::sched
