#include "failing_allocations.h"

#include <baton/sched/spawn.h>

#include <dirent.h>
#include <pthread.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>

namespace baton::test {
namespace {

// More allocations than any operation makes. An attempt that gets here repeats itself for another reason.
constexpr std::uint64_t allocations_max = 2'000;
// How often everything is done. The first round fills caches; what grows in each of the others is leaked.
constexpr int rounds = 4;

// At most one failing_allocation is armed. `limit` is written last and read first.
std::atomic<std::uint64_t> limit{0};  // 0: nothing fails
std::atomic<std::uint64_t> made{0};
std::atomic<bool> all_after{false};
std::atomic<bool> failed{false};
std::atomic<bool> of_everybody{false};
std::atomic<std::uint64_t> fiber{0};
std::atomic<pthread_t> thread{};

std::atomic<std::int64_t> live{0};

bool is_counted() noexcept {
  if (of_everybody.load()) return true;
  const std::uint64_t wanted = fiber.load();
  if (wanted != 0) return sched::current_fiber_id() == wanted;
  return sched::current_fiber_id() == 0 && ::pthread_equal(::pthread_self(), thread.load()) != 0;
}

bool shall_fail() noexcept {
  const std::uint64_t n = limit.load();
  if (n == 0 || !is_counted()) return false;
  const std::uint64_t number = made.fetch_add(1) + 1;
  if (number != n && !(all_after.load() && number > n)) return false;
  failed.store(true);
  return true;
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
  if (shall_fail()) return nullptr;
  if (size == 0) size = 1;
  void* const p = alignment == 0 ? std::malloc(size)
                                 : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (p != nullptr) live.fetch_add(1, std::memory_order_relaxed);
  return p;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  if (void* const p = allocate(size, alignment)) return p;
  throw std::bad_alloc();
}

// Not inline: where g++ sees free() and not our operator new, it warns of a mismatch.
__attribute__((noinline)) void release(void* p) noexcept {
  if (p != nullptr) live.fetch_sub(1, std::memory_order_relaxed);
  std::free(p);
}

std::int64_t open_descriptors() {
  std::int64_t n = 0;
  DIR* const list = ::opendir("/proc/self/fd");
  if (list == nullptr) return 0;
  while (::readdir(list) != nullptr) ++n;
  ::closedir(list);
  return n;
}

}  // namespace

void failing_allocation::arm() noexcept {
  made.store(0);
  failed.store(false);
  all_after.store(which_ == which::all_from);
  of_everybody.store(whose_ == whose::everybody);
  fiber.store(sched::current_fiber_id());
  thread.store(::pthread_self());
  limit.store(n_);
}

void failing_allocation::disarm() noexcept {
  limit.store(0);
  happened_ = failed.load();
}

holdings current_holdings() {
  holdings h;
  h.descriptors = open_descriptors();
  h.allocations = live.load();
  return h;
}

namespace {

// A function of its own, whose frame holds no memory: all that an attempt makes is gone when this returns.
void one_round(const std::function<void(failing_allocation&)>& attempt, whose owner) {
  for (const auto which : {failing_allocation::which::one, failing_allocation::which::all_from}) {
    for (std::uint64_t n = 1;; ++n) {
      failing_allocation fails(n, which, owner);
      attempt(fails);
      if (testing::Test::HasFailure()) {
        ADD_FAILURE() << (which == failing_allocation::which::one ? "allocation " : "all allocations from ") << n
                      << " failing";
        return;
      }
      if (!fails.happened()) break;
      if (n == allocations_max) {
        ADD_FAILURE() << "there is no end of allocations";
        return;
      }
    }
  }
}

}  // namespace

void fail_each_allocation(const std::function<void(failing_allocation&)>& attempt, whose owner) {
  holdings before;
  bool allocations_grew = true;
  bool descriptors_grew = true;
  for (int round = 0; round < rounds && !testing::Test::HasFailure(); ++round) {
    one_round(attempt, owner);
    const holdings now = current_holdings();
    if (round > 0) {
      allocations_grew = allocations_grew && now.allocations > before.allocations;
      descriptors_grew = descriptors_grew && now.descriptors > before.descriptors;
    }
    before = now;
  }
  if (testing::Test::HasFailure()) return;
  EXPECT_FALSE(allocations_grew) << "each round leaves allocations behind";
  EXPECT_FALSE(descriptors_grew) << "each round leaves descriptors behind";
}

}  // namespace baton::test

using baton::test::allocate;
using baton::test::allocate_or_throw;
using baton::test::release;

void* operator new(std::size_t size) { return allocate_or_throw(size, 0); }
void* operator new[](std::size_t size) { return allocate_or_throw(size, 0); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 0); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 0); }
void* operator new(std::size_t size, std::align_val_t a) { return allocate_or_throw(size, std::size_t(a)); }
void* operator new[](std::size_t size, std::align_val_t a) { return allocate_or_throw(size, std::size_t(a)); }
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(size, std::size_t(a));
}
void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(size, std::size_t(a));
}
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept { release(p); }
