// Tests of the instrument itself.
#include "failing_allocations.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>

#include <gtest/gtest-spi.h>

#include <memory>
#include <new>
#include <vector>

namespace baton::test {
namespace {

TEST(FailingAllocations, EachFailsInItsTurn) {
  int failures = 0;
  int attempts = 0;
  fail_each_allocation([&](failing_allocation& fails) {
    ++attempts;
    const bool threw = fails.during([] {
      // Called as functions, because a compiler may leave out a new and its delete.
      void* const a = ::operator new(1);
      void* b = nullptr;
      try {
        b = ::operator new(1);
      } catch (...) {
        ::operator delete(a);
        throw;
      }
      ::operator delete(b);
      ::operator delete(a);
    });
    EXPECT_EQ(threw, fails.happened());
    failures += threw ? 1 : 0;
  });
  // In each round: two one at a time, the two from the first and from the second on, and twice none.
  EXPECT_EQ(failures, attempts / 6 * 4);
}

TEST(FailingAllocations, OnlyTheCallers) {
  run([] {
    fail_each_allocation([](failing_allocation& fails) {
      bool other_threw = true;
      const bool threw = fails.during([&] {
        spawn([&other_threw] {
          const auto a = std::make_unique<int>(1);
          other_threw = false;
        }).join();
      });
      EXPECT_TRUE(threw || !other_threw);
    });
  });
}

TEST(FailingAllocations, ALeakIsFound) {
  std::vector<std::unique_ptr<int>> kept;
  kept.reserve(1'000);
  EXPECT_NONFATAL_FAILURE(
      {
        fail_each_allocation([&kept](failing_allocation& fails) {
          std::unique_ptr<int> p;
          (void)fails.during([&p] { p = std::make_unique<int>(1); });
          if (p != nullptr) kept.push_back(std::move(p));
        });
      },
      "leaves allocations behind");
}

}  // namespace
}  // namespace baton::test
