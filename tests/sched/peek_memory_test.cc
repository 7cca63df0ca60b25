// Reading memory that may not be there: by process_vm_readv, and where that is refused.
#include <baton/sched/platform/peek_memory.h>

#include "answered_calls.h"

#include <gtest/gtest.h>

#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

namespace {

using namespace baton::sched::platform;

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

// Pages of memory; the last one cannot be read.
class pages {
 public:
  explicit pages(std::size_t readable)
      : size_(readable * page_),
        base_(static_cast<unsigned char*>(
            ::mmap(nullptr, size_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    if (base_ == MAP_FAILED || ::mprotect(base_ + size_, page_, PROT_NONE) != 0) std::abort();
    std::iota(base_, base_ + size_, static_cast<unsigned char>(3));
  }
  ~pages() { ::munmap(base_, size_ + page_); }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;

  [[nodiscard]] const unsigned char* begin() const { return base_; }
  [[nodiscard]] const unsigned char* end() const { return base_ + size_; }

 private:
  std::size_t page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::size_t size_;
  unsigned char* base_;
};

bool peeks_right(const unsigned char* from, std::size_t n) {
  std::vector<unsigned char> copy(n);
  return peek_memory(address(from), copy.data(), n) && std::equal(copy.begin(), copy.end(), from);
}

bool refuses(const unsigned char* from, std::size_t n) {
  std::vector<unsigned char> copy(n);
  return !peek_memory(address(from), copy.data(), n);
}

std::size_t open_descriptors() {
  DIR* const folder = ::opendir("/proc/self/fd");
  std::size_t n = 0;
  while (folder != nullptr && ::readdir(folder) != nullptr) ++n;
  ::closedir(folder);
  return n;
}

// Returns 0, or the number of what is wrong.
int reads_what_is_there_and_nothing_else() {
  const pages some(5);
  const std::size_t before = open_descriptors();
  errno = ERANGE;
  if (!peeks_right(some.begin(), 1) || !peeks_right(some.end() - 1, 1)) return 1;
  if (!peeks_right(some.begin() + 7, 3 * 4096 + 5)) return 2;  // more than one piece
  const auto all = static_cast<std::size_t>(some.end() - some.begin());
  if (!peeks_right(some.begin(), all)) return 3;
  if (!refuses(some.end(), 1)) return 4;
  if (!refuses(some.end() - 4, 8) || !refuses(some.begin() + 9, all)) return 5;  // ends beyond
  if (!refuses(nullptr, 1) || !refuses(reinterpret_cast<const unsigned char*>(~std::uintptr_t{0} - 100), 8)) return 6;
  if (errno != ERANGE) return 7;
  return open_descriptors() == before ? 0 : 8;
}

TEST(PeekMemory, ReadsWhatIsThereAndNothingElse) { EXPECT_EQ(reads_what_is_there_and_nothing_else(), 0); }

TEST(PeekMemory, TheSameWhereProcessVmReadvIsRefused) {
  for (const int error : {EPERM, ENOSYS, EACCES}) {
    int wrong = -1;
    bool refused = false;
    std::thread([&] {
      refused = baton_test::answer_call(SYS_process_vm_readv, error);
      if (refused) wrong = reads_what_is_there_and_nothing_else();
    }).join();
    if (!refused) GTEST_SKIP() << "no filter of system calls can be installed here";
    EXPECT_EQ(wrong, 0);
  }
}

[[noreturn]] void peek_without_descriptors() {
  const pages some(1);
  const rlimit none{0, 0};
  if (!baton_test::answer_call(SYS_process_vm_readv, EPERM) || ::setrlimit(RLIMIT_NOFILE, &none) != 0) std::_Exit(77);
  std::_Exit(refuses(some.begin(), 8) ? 0 : 1);
}

// The answer is no, not a wrong one. Accepts exit code 77, too: this system allows no filter.
TEST(PeekMemory, WithoutAPipeItReadsNothing) {
  EXPECT_EXIT(
      peek_without_descriptors(),
      [](int status) { return testing::ExitedWithCode(0)(status) || testing::ExitedWithCode(77)(status); }, "");
}

}  // namespace
