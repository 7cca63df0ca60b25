// Where the runtime's own lines go: standard error, without ever blocking on it.
//
// Standard error is the file that descriptor 2 was when the process began. If descriptor 2 is closed later, and
// becomes a connection or a data file, no report goes there (see log.cc for what counts as a redirection).
//
// Thread safety: everything by anybody, at any time; nothing allocates or takes a lock. The write functions are
// async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace baton::sched {

// Writes the text, which ends with a newline, or as much of it as goes without waiting. False: not all of it was
// written; that is counted, and said before what is written next.
// wait_until_ns (of CLOCK_MONOTONIC): so long it waits for a reader; 0: not at all.
bool log_text(std::string_view text, std::int64_t wait_until_ns = 0) noexcept;
// The same, but what is lost is not counted: the caller counts.
bool try_log_text(std::string_view text) noexcept;
// How long last words may wait for a reader: a deadline for log_text().
[[nodiscard]] std::int64_t log_patience_ends_ns() noexcept;
// Writes to a descriptor as log_text() does, without waiting. Returns how many bytes were written.
std::size_t write_without_waiting(int fd, std::string_view text) noexcept;
// Writes to a descriptor of the user's, as write(2): waits as that does. Goes on after a short write and after
// EINTR; if the descriptor does not block (EAGAIN), waits until it is writable, a second at most each time. False:
// another error, or nobody reads; what is left is not written.
bool write_all(int fd, std::string_view text) noexcept;
// Texts that were not written, or not in full, and not yet said to be lost.
[[nodiscard]] std::uint64_t logs_lost() noexcept;

// Opens /dev/null on those of 0, 1 and 2 that are closed, so that no connection or file becomes one of them.
// Done when the program is loaded, and at each start of the runtime.
void open_standard_descriptors() noexcept;
// Descriptor 2 is standard error from here on, whatever it is; if it is closed there is none.
void log_to_stderr() noexcept;
// The same, if it looks like a standard error: the runtime's start.
void log_to_likely_stderr() noexcept;

}  // namespace baton::sched
