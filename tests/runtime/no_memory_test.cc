// Functions that end things work without memory. This file replaces operator new for the whole executable. The
// sanitizers bring their own operator new, which excludes another.
#include "parked.h"

#include <baton/runtime/run.h>
#include <baton/runtime/task_group.h>
#include <baton/sched/platform/atomic.h>  // BATON_ASAN, BATON_TSAN

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <optional>

#if !BATON_ASAN && !BATON_TSAN

namespace {

std::atomic<bool> memory_is_used_up{false};

void* allocate(std::size_t size) noexcept { return memory_is_used_up ? nullptr : std::malloc(size != 0 ? size : 1); }

// Not inlined: where g++ sees free() but not this operator new, it warns of a mismatch.
__attribute__((noinline)) void release(void* p) noexcept { std::free(p); }

// While it lives, no allocation in the process succeeds.
class no_memory {
 public:
  no_memory() noexcept { memory_is_used_up = true; }
  no_memory(const no_memory&) = delete;
  no_memory& operator=(const no_memory&) = delete;
  ~no_memory() { memory_is_used_up = false; }
};

}  // namespace

void* operator new(std::size_t size) {
  if (void* const p = allocate(size)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }

namespace {

using baton::context;
using baton::task_group;

TEST(NoMemory, ATaskGroupCancelsAndEnds) {
  baton::run([] {
    absl::Status seen;
    std::optional<task_group> g(std::in_place);
    baton::test::watched_agent child;
    g->spawn([&](const context& ctx) {
      child.about_to_wait();
      ctx.wait_done();
      seen = ctx.error();
    });
    child.await_parked();
    {
      const no_memory none;
      g.reset();
    }
    EXPECT_EQ(seen, absl::CancelledError());
  });
}

TEST(NoMemory, ComesOutOfWaitAsTheExceptionThatItWas) {
  baton::run([] {
    task_group g;
    std::optional<no_memory> none;
    g.spawn([&] {
      none.emplace();
      throw std::bad_alloc();
    });
    try {
      static_cast<void>(g.wait());
      none.reset();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::bad_alloc&) {
      none.reset();
    }
    EXPECT_EQ(g.ctx().error(), absl::CancelledError());
  });
}

}  // namespace

#endif
