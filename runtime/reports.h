// What the runtime says on its own: misuse, rescues, limits that were reached, deadlocks, stack overflows.
//
// It goes to standard error, line by line, and never blocks there: what a pipe or terminal that nobody reads does not
// take is lost and counted, and the next report says how much. (Only the last words of a process that aborts wait,
// for a second at most.) Text of the user's in it, as names and what(), is escaped.
//
// Standard error is the file that descriptor 2 was when the runtime started. If a program closes descriptor 2 later
// and a connection or a data file gets that number, no report goes there: the runtime has a descriptor of its own
// for the file, close-on-exec. A terminal, the null device, a pipe's writing end or a file opened with O_APPEND that
// is put in its place (without O_CLOEXEC) is taken for a redirection, and gets the reports.
// Descriptors 0, 1 and 2 that are closed when the program is loaded, or when the runtime starts, are opened on
// /dev/null.
#pragma once

#include <baton/sched/log/log.h>

#include <cstdint>

namespace baton {

// What descriptor 2 is now gets the reports from here on, whatever it is. For a program that has redirected it to
// a file without O_APPEND, or to a socket; and after closing it, so that the runtime lets the former file go.
// From any thread; never parks.
inline void report_to_stderr() noexcept { sched::log_to_stderr(); }

// Reports that were lost, or cut, and of which no later report has said so yet.
[[nodiscard]] inline std::uint64_t reports_lost() noexcept { return sched::logs_lost(); }

}  // namespace baton
