// For the tests of processes: programs by one line of sh, and how many threads there are.
#pragma once

#include <baton/runtime/command.h>
#include <baton/runtime/file.h>

#include <gtest/gtest.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <cstdlib>
#include <string>
#include <utility>

namespace baton_test {

inline baton::command sh(std::string line) { return baton::command("/bin/sh", {"-c", std::move(line)}); }

// A directory that goes with the test.
class scratch {
 public:
  scratch() { EXPECT_NE(::mkdtemp(name_), nullptr); }
  ~scratch() { EXPECT_EQ(std::system(("rm -r " + std::string(name_)).c_str()), 0); }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const { return std::string(name_) + "/" + name; }
  std::string file(const std::string& name, const std::string& text, ::mode_t mode) const {
    EXPECT_TRUE(baton::write_file(path(name), text, mode).ok());
    return path(name);
  }

 private:
  char name_[32] = "/tmp/command_test.XXXXXX";
};

// The directory of threads has two links, and one more for each of them. Nothing is opened: ThreadSanitizer does not
// see the runtime close descriptors, and takes it for a race when a number comes again.
inline int threads_now() {
  struct stat tasks {};
  return ::stat("/proc/self/task", &tasks) == 0 ? static_cast<int>(tasks.st_nlink) - 2 : -1;
}

}  // namespace baton_test
