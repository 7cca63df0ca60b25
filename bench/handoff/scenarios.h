// The scenarios; README.md in bench/ says what each one measures, main.cc how to call them.
#pragma once

#include "../scenario.h"

namespace handoff {

using namespace bench;

void floor(const arguments& a, report& out);             // declared.cc
void declared(const arguments& a, report& out);          // declared.cc
void undeclared(const arguments& a, report& out);        // undeclared.cc
void hog(const arguments& a, report& out);               // hog.cc
void late(const arguments& a, report& out);              // hog.cc
void runnable(const arguments& a, report& out);          // runnable.cc
void crowd(const arguments& a, report& out);             // crowd.cc
void crowd_of_threads(const arguments& a, report& out);  // crowd.cc
void blockers(const arguments& a, report& out);          // crowd.cc
void cached_reads(const arguments& a, report& out);      // cached_reads.cc
void short_calls(const arguments& a, report& out);       // upkeep.cc
void idle(const arguments& a, report& out);              // upkeep.cc

// Looks at the clock and adds numbers.
void compute_until(std::int64_t end) noexcept;  // undeclared.cc

// Holds a file's lock on request, as another process: a line on stdin is a number of milliseconds; a
// line on stdout says that the lock is held from now on for so long.
void hold_lock(const arguments& a, report& out);  // undeclared.cc

// Watches the process `pid` from another process. Prints how many of its threads were runnable, as the average of
// `samples` samples, `every_ms` apart.
void watch_threads(const arguments& a, report& out);  // runnable.cc

}  // namespace handoff
