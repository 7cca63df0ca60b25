// The threads of a process, as /proc lists them.
#pragma once

#include "scenario.h"

#include <dirent.h>
#include <sys/types.h>
#include <cstdlib>
#include <fstream>
#include <string>

namespace bench {

// Calls f(task) for each thread.
template <class F>
void for_each_thread(pid_t process, F f) {
  DIR* const tasks = opendir(("/proc/" + std::to_string(process) + "/task").c_str());
  if (tasks == nullptr) die("no /proc, or no such process");
  while (const dirent* const entry = readdir(tasks)) {
    const pid_t task = std::atoi(entry->d_name);
    if (task != 0) f(task);
  }
  closedir(tasks);
}

inline int count_threads(pid_t process) {
  int count = 0;
  for_each_thread(process, [&](pid_t) { ++count; });
  return count;
}

// Returns how many threads of the process run on a CPU, or wait for one.
inline int count_runnable_threads(pid_t process) {
  int count = 0;
  for_each_thread(process, [&](pid_t task) {
    std::ifstream file("/proc/" + std::to_string(process) + "/task/" + std::to_string(task) + "/stat");
    std::string line;
    std::getline(file, line);
    // The state stands behind the name, which may have spaces and parentheses in it.
    const std::size_t name_end = line.rfind(')');
    if (name_end != std::string::npos && line.compare(name_end, 4, ") R ") == 0) ++count;
  });
  return count;
}

}  // namespace bench
