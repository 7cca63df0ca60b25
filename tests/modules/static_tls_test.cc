// Static TLS lies in the threads' stacks. However much there is, threads can be started, and have room.
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/pinning.h>

#include <gtest/gtest.h>

#include <cstddef>
#include <numeric>

namespace {

constexpr std::size_t bytes = std::size_t{300} * 1024;
thread_local char big[bytes];

struct at_thread_end {
  bool used = false;
  ~at_thread_end() {
    if (!used) return;
    volatile char room[64 * 1024] = {};
    for (volatile char& c : room) c = 1;
  }
};
thread_local at_thread_end last;

TEST(StaticTls, MuchOfItIsNoObstacle) {
  for (int i = 0; i < 3; ++i) {
    baton::run([] {
      for (int k = 0; k < 20; ++k) baton::blocking([] { big[bytes - 1] = 1; });
      baton::spawn([] {
        baton::lock_os_thread();  // its thread ends with it
        last.used = true;
        for (char& c : big) c = 1;
        EXPECT_EQ(static_cast<int>(bytes), std::accumulate(big, big + bytes, 0));
      }).join();
    });
    EXPECT_TRUE(baton::shutdown().ok());
  }
}

}  // namespace
