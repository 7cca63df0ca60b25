// A directory for the sockets of one test, with a short name, and the number of open descriptors.
#pragma once

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace baton::net::test {

class temporary_directory {
 public:
  temporary_directory() {
    char name[] = "/tmp/baton-net.XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~temporary_directory() { std::filesystem::remove_all(path_); }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;

  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] bool has(const std::string& name) const {
    struct stat found {};
    return ::lstat((path_ + "/" + name).c_str(), &found) == 0;
  }

 private:
  std::string path_;
};

// Not counted: the one that counts.
inline int open_descriptors() {
  int n = 0;
  DIR* const all = ::opendir("/proc/self/fd");
  if (all == nullptr) return -1;
  while (::readdir(all) != nullptr) ++n;
  ::closedir(all);
  return n - 3;
}

}  // namespace baton::net::test
