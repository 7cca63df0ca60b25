// For the tests of processes: programs by one line of sh, and how many threads there are.
#pragma once

#include <baton/runtime/command.h>

#include <dirent.h>
#include <string>
#include <utility>

namespace baton_test {

inline baton::command sh(std::string line) { return baton::command("/bin/sh", {"-c", std::move(line)}); }

inline int threads_now() {
  int n = 0;
  if (DIR* const d = ::opendir("/proc/self/task")) {
    while (const dirent* const e = ::readdir(d)) n += e->d_name[0] != '.';
    ::closedir(d);
  }
  return n;
}

}  // namespace baton_test
