// For the tests of processes: programs by one line of sh, and how many threads there are.
#pragma once

#include <baton/runtime/command.h>

#include <sys/stat.h>
#include <string>
#include <utility>

namespace baton_test {

inline baton::command sh(std::string line) { return baton::command("/bin/sh", {"-c", std::move(line)}); }

// The directory of threads has two links, and one more for each of them. Nothing is opened: ThreadSanitizer does not
// see the runtime close descriptors, and takes it for a race when a number comes again.
inline int threads_now() {
  struct stat tasks {};
  return ::stat("/proc/self/task", &tasks) == 0 ? static_cast<int>(tasks.st_nlink) - 2 : -1;
}

}  // namespace baton_test
