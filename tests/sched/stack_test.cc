// The stack pool: classes, recycling, guards of all three kinds, giving deep pages back, running out of memory. Changes
// to the process that cannot be undone happen in a child process.
#include <baton/sched/platform/clock.h>
#include <baton/sched/stack/stack_pool.h>

#include "answered_calls.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#if BATON_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace baton::sched {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t class_64k = 1;
constexpr std::size_t class_256k = 2;
constexpr bool sanitized = BATON_ASAN != 0 || BATON_TSAN != 0;

stack_pool& pool() { return stack_pool::instance(); }

// Stacks of one class, acquired in batches and released at the end of the scope.
class some_stacks {
 public:
  some_stacks(std::size_t klass, std::size_t n) : all_(n) {
    std::size_t got = 0;
    while (got < n) {
      const std::size_t more = pool().acquire(klass, all_.data() + got, std::min<std::size_t>(32, n - got));
      if (more == 0) break;
      got += more;
    }
    all_.resize(got);
  }
  ~some_stacks() { release(); }
  some_stacks(const some_stacks&) = delete;
  some_stacks& operator=(const some_stacks&) = delete;

  void release() {
    for (std::size_t i = 0; i < all_.size(); i += 32) {
      pool().release(all_.data() + i, std::min<std::size_t>(32, all_.size() - i));
    }
    all_.clear();
  }
  [[nodiscard]] const std::vector<stack>& all() const { return all_; }
  const stack& operator[](std::size_t i) const { return all_[i]; }

 private:
  std::vector<stack> all_;
};

// Asks the kernel, which refuses to read what would fault.
bool readable(const std::byte* at) {
  static std::array<int, 2> pipe_ends = [] {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
    return ends;
  }();
  if (::write(pipe_ends[1], at, 1) != 1) return false;
  std::byte drained;
  return ::read(pipe_ends[0], &drained, 1) == 1;
}

bool guarded(const stack& s) {
  const std::byte* const low = s.limit() - stack_guard_size();
  return !readable(low) && !readable(s.limit() - 1) && readable(s.limit()) && readable(s.top - 1);
}

std::size_t resident_pages(const stack& s) {
  std::vector<unsigned char> pages(s.size / page_size());
  if (::mincore(s.limit(), s.size, pages.data()) != 0) return ~std::size_t{0};
  return static_cast<std::size_t>(std::count_if(pages.begin(), pages.end(), [](auto r) { return (r & 1) != 0; }));
}

void touch(const stack& s, std::size_t pages) {
  for (std::size_t i = 0; i < pages; ++i) *(s.top - 1 - i * page_size()) = std::byte{1};
}

// Runs f in a child process. Returns its exit status (-1: a signal ended it) and its output.
struct outcome {
  int status = -1;
  std::string said;
};
template <class F>
outcome in_child(F f) {
  const int file = ::memfd_create("stderr", MFD_CLOEXEC);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(file, STDERR_FILENO);
    std::_Exit(f());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome o;
  if (WIFEXITED(status)) o.status = WEXITSTATUS(status);
  o.said.resize(64 * kib);
  const ssize_t n = ::pread(file, o.said.data(), o.said.size(), 0);
  o.said.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  ::close(file);
  return o;
}

std::size_t occurrences(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(StackClass, SizesAscendAndAreWhatTheHeaderSays) {
  EXPECT_GE(stack_class_size(0), 16 * kib);
  if (page_size() <= 16 * kib) {
    EXPECT_EQ(stack_class_size(1), 64 * kib);
  }
  EXPECT_EQ(stack_class_size(2), 256 * kib);
  EXPECT_EQ(stack_class_size(3), 1024 * kib);
  EXPECT_EQ(stack_class_size(4), 8192 * kib);
  for (std::size_t k = 0; k < stack_classes; ++k) EXPECT_EQ(stack_class_size(k) % page_size(), 0U);
}

TEST(StackClass, TheSmallestThatFits) {
  EXPECT_EQ(stack_class_for(0), 0U);
  EXPECT_EQ(stack_class_for(1), 0U);
  for (std::size_t k = 0; k < stack_classes; ++k) {
    EXPECT_EQ(stack_class_for(stack_class_size(k)), k);
    EXPECT_EQ(stack_class_for(stack_class_size(k) + 1), k + 1);
  }
}

TEST(StackPool, StacksAreUsableAlignedAndApart) {
  for (std::size_t klass = 0; klass < stack_classes; ++klass) {
    const some_stacks held(klass, 20);
    ASSERT_EQ(held.all().size(), 20U);
    std::set<const std::byte*> tops;
    for (const stack& s : held.all()) {
      EXPECT_EQ(s.klass, klass);
      EXPECT_EQ(s.size, stack_class_size(klass));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(s.top) % page_size(), 0U);
      *s.limit() = std::byte{1};
      *(s.top - 1) = std::byte{2};
      EXPECT_TRUE(guarded(s));
      const auto above = tops.upper_bound(s.top);
      if (above != tops.end()) {
        EXPECT_GE(*above - s.top, static_cast<std::ptrdiff_t>(s.size + stack_guard_size()));
      }
      EXPECT_TRUE(tops.insert(s.top).second);
    }
  }
}

TEST(StackPool, RecyclesWhatWasReleased) {
  std::set<const std::byte*> before;
  {
    const some_stacks held(class_64k, 100);
    for (const stack& s : held.all()) before.insert(s.top);
  }
  const auto stacks = pool().read().stacks;
  const some_stacks again(class_64k, 100);
  for (const stack& s : again.all()) EXPECT_EQ(before.count(s.top), 1U);
  EXPECT_EQ(pool().read().stacks, stacks);
}

TEST(StackPool, TakesBackMixedClasses) {
  std::array<stack, 5> mixed;
  for (std::size_t k = 0; k < 5; ++k) ASSERT_EQ(pool().acquire((k * 2) % 5, &mixed[k], 1), 1U);
  pool().release(mixed.data(), mixed.size());
  for (const stack& s : mixed) {
    stack again;
    ASSERT_EQ(pool().acquire(s.klass, &again, 1), 1U);
    EXPECT_EQ(again.top, s.top);
    pool().release(&again, 1);
  }
}

TEST(StackPool, NoSuchClass) {
  stack s;
  EXPECT_EQ(pool().acquire(stack_classes, &s, 1), 0U);
  EXPECT_EQ(errno, EINVAL);
}

TEST(StackPool, ForeignStackAborts) {
  EXPECT_DEATH(
      {
        const some_stacks held(class_64k, 1);
        stack wrong = held[0];
        wrong.top -= page_size();
        pool().release(&wrong, 1);
      },
      "not the pool's");
}

TEST(StackPool, ManyStacksAreAllGuarded) {
  const some_stacks first(class_64k, 1);  // the kind of guard is known from now on
  // Guards by mprotect would use up the mappings, also for the tests that follow.
  const bool regions = pool().guard() == stack_pool::guard_kind::guard_region;
  const std::size_t n = sanitized || !regions ? 4'000 : 100'000;
  const auto before = pool().read();
  const some_stacks held(class_64k, n);
  ASSERT_EQ(held.all().size(), n);
  const auto after = pool().read();
  EXPECT_GE(after.stacks, n);
  EXPECT_LE(after.mappings - before.mappings, n / 800 + 1);
  EXPECT_EQ(after.guard_failures, before.guard_failures);
  for (std::size_t i = 0; i < n; i += 97) EXPECT_TRUE(guarded(held[i])) << i;
}

TEST(StackPool, ThreadsNeverShareAStack) {
  const auto work = [](std::uint64_t me) {
    std::array<stack, 16> held;
    for (int round = 0; round < 300; ++round) {
      const std::size_t n = pool().acquire(0, held.data(), 1 + static_cast<std::size_t>(round) % held.size());
      for (std::size_t i = 0; i < n; ++i) std::memcpy(held[i].top - 64, &me, sizeof me);
      std::this_thread::yield();
      for (std::size_t i = 0; i < n; ++i) {
        std::uint64_t owner = 0;
        std::memcpy(&owner, held[i].top - 64, sizeof owner);
        ASSERT_EQ(owner, me);
      }
      pool().release(held.data(), n);
    }
  };
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 4; ++t) threads.emplace_back(work, t);
  for (std::thread& t : threads) t.join();
}

TEST(StackPool, FindTellsGuardFromStack) {
  const some_stacks held(class_64k, 3);
  for (const stack& s : held.all()) {
    stack owner;
    for (const std::byte* at : {s.limit() - 1, s.limit() - stack_guard_size()}) {
      EXPECT_TRUE(pool().find_guard(at, &owner));
      EXPECT_EQ(owner.top, s.top);
      EXPECT_EQ(owner.size, s.size);
      EXPECT_EQ(owner.klass, s.klass);
      EXPECT_FALSE(pool().find_stack(at, &owner));
    }
    owner = {};
    for (const std::byte* at : {s.limit() + 0, s.top - 1}) {
      EXPECT_FALSE(pool().find_guard(at, &owner));
      EXPECT_TRUE(pool().find_stack(at, &owner));
      EXPECT_EQ(owner.top, s.top);
    }
  }
  stack owner;
  const auto heap = std::make_unique<int>(1);
  const auto* const beyond = reinterpret_cast<const std::byte*>(~std::uintptr_t{0});
  for (const void* at : {static_cast<const void*>(nullptr), static_cast<const void*>(heap.get()),
                         static_cast<const void*>(&owner), static_cast<const void*>(beyond)}) {
    EXPECT_FALSE(pool().find_guard(at, &owner));
    EXPECT_FALSE(pool().find_stack(at, &owner));
  }
}

constexpr std::int64_t period = 500'000'000;
constexpr std::size_t kept = 16;  // of 256 KiB, in a depot

// Trims what earlier tests have left and returns the time after that. Called in a child, where no monitor trims.
std::int64_t settle() {
  std::int64_t now = platform::now_ns() + 10 * period;
  for (int round = 0; round < 10; ++round, now += period) {
    while (pool().trim(now) == now) {
    }
  }
  return now;
}

TEST(StackPool, StacksThatStayFreeForTwoPeriodsGiveTheirMemoryBack) {
  const outcome o = in_child([] {
    constexpr std::size_t n = 300;
    std::int64_t now = settle();
    some_stacks held(class_256k, n);
    if (held.all().size() != n) return 1;
    for (const stack& s : held.all()) touch(s, 16);
    const std::vector<stack> released = held.all();
    held.release();
    const auto resident = [&] {
      return static_cast<std::size_t>(
          std::count_if(released.begin(), released.end(), [](const stack& s) { return resident_pages(s) > 0; }));
    };
    if (pool().trim(now) != now + period || resident() != n) return 2;
    if (pool().trim(now + 1) != now + period || resident() != n) return 3;
    now += period;
    std::int64_t next = 0;
    int calls = 0;
    while ((next = pool().trim(now)) == now && calls < 100) ++calls;
    if (calls < 3) return 4;  // not all of them in one call
    // What other tests have left may be among the stacks that stay.
    if (resident() > kept) return 5;
    now += period;
    while ((next = pool().trim(now)) == now) {
    }
    now += period;
    while ((next = pool().trim(now)) == now) {
    }
    return next == INT64_MAX && resident() <= kept ? 0 : 6;
  });
  EXPECT_EQ(o.status, 0) << o.said;
}

TEST(StackPool, StacksThatGoRoundKeepTheirPages) {
  const outcome o = in_child([] {
    std::int64_t now = settle();
    const auto before = pool().read().trimmed;
    for (int round = 0; round < 20; ++round, now += period) {
      const some_stacks held(class_256k, 200);
      for (const stack& s : held.all()) touch(s, 16);
      while (pool().trim(now) == now) {
      }
    }
    return pool().read().trimmed == before ? 0 : 1;
  });
  EXPECT_EQ(o.status, 0) << o.said;
}

TEST(StackPool, LargeStacksAreAllTrimmed) {
  const outcome o = in_child([] {
    const std::size_t klass = stack_class_for(8192 * kib);
    some_stacks held(klass, 20);
    for (const stack& s : held.all()) touch(s, 16);
    const std::vector<stack> released = held.all();
    held.release();
    pool().trim_all();
    return std::all_of(released.begin(), released.end(), [](const stack& s) { return resident_pages(s) == 0; }) ? 0 : 1;
  });
  EXPECT_EQ(o.status, 0) << o.said;
}

TEST(StackPool, AcquiringAndReleasingTouchesNothing) {
  some_stacks held(stack_class_for(1024 * kib), 200);
  const std::vector<stack> all = held.all();
  const auto resident = [&all] {
    std::size_t pages = 0;
    for (const stack& s : all) pages += resident_pages(s);
    return pages;
  };
  const std::size_t when_held = resident();
  held.release();
  EXPECT_LE(resident(), when_held);
  EXPECT_LT(when_held, all.size());  // most are new
}

#if BATON_ASAN
[[gnu::noinline]] void keep_an_allocation_on(const stack& s) {
  const auto* const allocation = new int(7);
  std::memcpy(s.top - 64, &allocation, sizeof allocation);
}

// In a process of its own: after all the other tests there are so many stacks that a scan takes half a minute.
TEST(StackPoolDeathTest, LeakSanitizerLooksAtStacks) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        static some_stacks* const held = new some_stacks(class_64k, 1);
        keep_an_allocation_on((*held)[0]);
        std::_Exit(__lsan_do_recoverable_leak_check());
      },
      testing::ExitedWithCode(0), "");
}

TEST(StackPool, AddressSanitizerPoisonEndsWithRelease) {
  some_stacks held(class_64k, 1);
  const stack s = held[0];
  __asan_poison_memory_region(s.top - 4096, 1024);
  held.release();
  EXPECT_EQ(__asan_region_is_poisoned(s.limit(), s.size), nullptr);
}
#endif

// Out of address space: fewer stacks, then none, and an errno value.
TEST(StackPool, AddressSpaceLimitGivesNoneButNoCrash) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's own mappings exceed any such limit";
  const outcome o = in_child([] {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t limit = pages * page_size() + 200 * kib * kib;
    const rlimit r{limit, limit};
    if (::setrlimit(RLIMIT_AS, &r) != 0) return 10;
    const std::size_t klass = stack_class_for(1024 * kib);
    std::array<stack, 4096> held;
    std::size_t got = 0;
    while (got < held.size() && pool().acquire(klass, held.data() + got, 1) == 1) ++got;
    if (got == held.size()) return 16;
    if (errno != ENOMEM) return 11;
    std::fprintf(stderr, "got %zu\n", got);
    if (got < 170) return 12;  // 64 MiB mappings alone would give 126 beyond what was there
    if (!std::all_of(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(got), guarded)) return 13;
    stack s;
    if (pool().acquire(klass, &s, 1) != 0) return 14;
    pool().release(held.data(), got);
    return pool().acquire(klass, &s, 1) == 1 ? 0 : 15;
  });
  EXPECT_EQ(o.status, 0) << o.said;
}

TEST(Guard, MprotectStandsIn) {
  const outcome o = in_child([] {
    pool().set_guard_kind_for_test(stack_pool::guard_kind::mprotect_pages);
    const auto before = pool().read().stacks;
    const some_stacks held(stack_class_for(8192 * kib), 100);
    if (held.all().size() != 100 || pool().read().stacks < before + 70) return 1;
    if (pool().read().guard_failures != 0) return 2;
    return std::all_of(held.all().begin(), held.all().end(), guarded) ? 0 : 3;
  });
  EXPECT_EQ(o.status, 0) << o.said;
  EXPECT_EQ(o.said, "");
}

// A guard region in locked memory gives EINVAL, as it does on a kernel before 6.13.
TEST(Guard, LockedMemoryFallsBackToMprotect) {
  if (sanitized) GTEST_SKIP() << "sanitizers make mlockall do nothing";
  const outcome o = in_child([] {
    if (pool().guard() != stack_pool::guard_kind::guard_region) return 77;
    constexpr int current_future_onfault = 1 | 2 | 4;
    if (::mlockall(current_future_onfault) != 0) return 77;
    const std::size_t klass = stack_class_for(8192 * kib);
    const some_stacks held(klass, 40);
    if (held.all().empty()) return 77;  // RLIMIT_MEMLOCK
    if (pool().guard() != stack_pool::guard_kind::mprotect_pages) return 1;
    return std::all_of(held.all().begin(), held.all().end(), guarded) ? 0 : 2;
  });
  if (o.status == 77) GTEST_SKIP() << "no guard regions, or no permission to lock memory";
  EXPECT_EQ(o.status, 0) << o.said;
}

// New stacks are guarded, by that kind, in a process in which the kind of guard is not known yet.
int are_guarded_by(stack_pool::guard_kind kind) {
  pool().set_guard_kind_for_test(stack_pool::guard_kind::guard_region);
  const auto before = pool().read().stacks;
  const some_stacks held(stack_class_for(8192 * kib), 60);
  if (held.all().size() != 60 || pool().read().stacks == before) return 1;
  if (pool().guard() != kind) return 2;
  return std::all_of(held.all().begin(), held.all().end(), guarded) ? 0 : 3;
}

// As under an emulator.
TEST(Guard, AnAdviceThatIsTakenAndIgnoredFallsBackToMprotect) {
  const outcome o = in_child([] {
    if (!baton_test::answer_call(SYS_madvise, 0) || !baton_test::answer_call(SYS_process_madvise, ENOSYS)) return 77;
    return are_guarded_by(stack_pool::guard_kind::mprotect_pages);
  });
  if (o.status == 77) GTEST_SKIP() << "no filter of system calls can be installed here";
  EXPECT_EQ(o.status, 0) << o.said;
  EXPECT_EQ(o.said, "");
}

// The first guard is put to the test without process_vm_readv, too, which a sandbox may refuse.
TEST(Guard, RegionsStayWhereForeignMemoryCannotBeRead) {
  if (pool().guard() != stack_pool::guard_kind::guard_region) GTEST_SKIP() << "no guard regions";
  const outcome o = in_child([] {
    if (!baton_test::answer_call(SYS_process_vm_readv, EPERM)) return 77;
    return are_guarded_by(stack_pool::guard_kind::guard_region);
  });
  if (o.status == 77) GTEST_SKIP() << "no filter of system calls can be installed here";
  EXPECT_EQ(o.status, 0) << o.said;
}

TEST(Guard, WithoutAnyItGoesOnAndSaysSoOnce) {
  const outcome o = in_child([] {
    pool().set_guard_kind_for_test(stack_pool::guard_kind::mprotect_pages, 100);
    const std::size_t klass = stack_class_for(1024 * kib);
    const some_stacks held(klass, 800);
    if (held.all().size() != 800) return 1;
    if (pool().guard() != stack_pool::guard_kind::none) return 2;
    const auto failures = pool().read().guard_failures;
    if (failures < 200) return 3;
    const auto without = static_cast<std::uint64_t>(
        std::count_if(held.all().begin(), held.all().end(), [](auto& s) { return !guarded(s); }));
    if (without == 0 || without > failures) return 4;
    for (const stack& s : held.all()) *(s.top - 1) = std::byte{1};
    return 0;
  });
  EXPECT_EQ(o.status, 0) << o.said;
  EXPECT_EQ(occurrences(o.said, "\n"), 1U) << o.said;
  EXPECT_EQ(occurrences(o.said, "baton: stacks beyond the "), 1U) << o.said;
  EXPECT_EQ(occurrences(o.said, "-th have no guard: too many mappings (raise vm.max_map_count)"), 1U) << o.said;
}

TEST(Guard, AChildProcessGuardsItsOwnMemory) {
  const std::size_t klass = stack_class_for(8192 * kib);
  const some_stacks parents(klass, 1);
  const outcome o = in_child([klass] {
    const some_stacks held(klass, 50);
    return held.all().size() == 50 && std::all_of(held.all().begin(), held.all().end(), guarded) ? 0 : 1;
  });
  EXPECT_EQ(o.status, 0) << o.said;
}

}  // namespace
}  // namespace baton::sched
