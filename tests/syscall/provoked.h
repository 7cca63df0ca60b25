// What the tests of typed calls need to provoke the errors of man pages: a table, bad pointers, a user without rights,
// and file systems that are full or read-only.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace baton_test {

struct provoked {
  const char* what;
  int error;
  int expected;
};

// The calls have been made when the list is built, from the first to the last.
inline void expect_errors(std::initializer_list<provoked> rows) {
  for (const provoked& row : rows) EXPECT_EQ(row.error, row.expected) << row.what;
}

// Points to no memory.
template <class T>
T* nowhere() {
  return reinterpret_cast<T*>(std::uintptr_t{4096 - 256});
}

// Runs f on a thread of its own as user and group "nobody". (The bare calls change that thread only.) Does nothing in a
// process without root's rights.
template <class F>
void as_nobody(F f) {
  if (::geteuid() != 0) return;
  std::thread([&] {
    constexpr long nobody = 65534;
    ASSERT_EQ(::syscall(SYS_setresgid, nobody, nobody, nobody), 0);
    ASSERT_EQ(::syscall(SYS_setresuid, nobody, nobody, nobody), 0);
    f();
  }).join();
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // which a change of user ends
}

// Runs f(directory) on a thread of its own that sees an empty file system of `size` bytes there. Returns false if the
// kernel refuses that.
template <class F>
bool in_small_file_system(const std::string& directory, int size, F f) {
  bool made = false;
  std::thread([&] {
    if (::unshare(CLONE_NEWNS | CLONE_FS) != 0) return;
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return;
    if (::mount("none", directory.c_str(), "tmpfs", 0, ("size=" + std::to_string(size)).c_str()) != 0) return;
    made = true;
    f(directory);
  }).join();
  return made;
}

// Makes the file system of in_small_file_system() read-only.
inline bool make_read_only(const std::string& directory) {
  return ::mount("none", directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
}

// While it lives, the process has a lower limit.
class lower_limit {
 public:
  lower_limit(__rlimit_resource_t resource, rlim_t limit) : resource_(resource) {
    ::getrlimit(resource, &former_);
    ::rlimit lower = former_;
    lower.rlim_cur = limit;
    ::setrlimit(resource, &lower);
  }
  ~lower_limit() { ::setrlimit(resource_, &former_); }
  lower_limit(const lower_limit&) = delete;
  lower_limit& operator=(const lower_limit&) = delete;

 private:
  __rlimit_resource_t resource_;
  ::rlimit former_{};
};

}  // namespace baton_test
