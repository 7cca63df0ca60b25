// Public API: what the runtime reports on its own: misuse, rescues, limits that were reached, deadlocks, stack
// overflows.
//
// Reports go to standard error, line by line, and never block there. If no process reads a pipe or terminal, what it
// does not take is lost and counted, and the next report says how much. (Only the last lines of a process that aborts
// wait, for a second at most.) Text of the user's in a report, such as names and what(), is escaped.
//
// Standard error is the file that descriptor 2 was when the runtime started. If a program closes descriptor 2 later and
// a connection or a data file gets that number, no report goes there: the runtime has a descriptor of its own for the
// file, close-on-exec. If a terminal, the null device, a pipe's writing end or a file opened with O_APPEND is put in
// its place (without O_CLOEXEC), the runtime takes it for a redirection and sends the reports there. Descriptors 0, 1
// and 2 that are closed when the program is loaded, or when the runtime starts, are opened on /dev/null.
#pragma once

#include <baton/sched/log/log.h>

#include <cstdint>

namespace baton {

// From this call on, the reports go to what descriptor 2 is now, whatever it is. For a program that has redirected it
// to a file without O_APPEND, or to a socket. Also for a program that has closed it, so that the runtime lets the
// former file go. May be called from any thread; never parks.
inline void report_to_stderr() noexcept { sched::log_to_stderr(); }

// The number of reports that were lost or cut and that no later report has mentioned yet.
[[nodiscard]] inline std::uint64_t reports_lost() noexcept { return sched::logs_lost(); }

}  // namespace baton
