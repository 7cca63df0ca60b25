// Makes a system call of a program fail, from outside the program. These are called in the child before the program
// begins: they are a `prepare` of child_process.
#pragma once

#include "system_call_filter.h"

#include <unistd.h>

namespace baton_test {

// Makes the call fail with that error, always.
inline void fail_always(long number, int error) {
  if (filter_call(number, fails_with(error)) != 0) ::_exit(126);
}

// Makes the call wait until the test has decided its result (asked_calls).
inline void ask_about_or_exit(long number) {
  const filtered_call call{number};
  if (!ask_about({&call, 1})) ::_exit(126);
}

}  // namespace baton_test
