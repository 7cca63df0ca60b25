// Calls that are expected to be short, and are not. The monitor takes their P if a fiber can use it.
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>

namespace {

// The only fiber that waits is in the ring of another P, whose own fiber computes until the waiting one has run.
// Nothing is rescued, so only the P of the call can serve it.
TEST(KeptCallDeathTest, ItsPServesTheRingOfAnother) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        _exit(baton::run(
            [] {
              int ends[2];
              if (::pipe(ends) != 0) return 1;
              std::atomic<bool> computes{false};
              std::atomic<bool> calls{false};
              std::atomic<bool> ran{false};
              auto other = baton::spawn([&] {
                computes = true;
                while (!calls) {
                }
                auto waits = baton::spawn([&] {
                  ran = true;
                  return ::write(ends[1], "x", 1) == 1;
                });
                while (!ran) {
                }
                return waits.join();
              });
              while (!computes) baton::this_fiber::yield();
              char c = 0;
              calls = true;
              const bool got = baton::blocking(baton::wont_block, [&] { return ::read(ends[0], &c, 1) == 1; });
              return got && other.join() ? 0 : 2;
            },
            baton::options{.procs = 2, .rescue = false}));
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
