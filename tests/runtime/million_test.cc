// A million fibers at once: all parked, all guarded where the kernel can, all woken.
#include <baton/baton.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>

namespace {

// Returns the machine's available memory in KiB.
long available_memory() {
  std::ifstream info("/proc/meminfo");
  for (std::string word; info >> word;) {
    if (word != "MemAvailable:") continue;
    long kib = 0;
    info >> kib;
    return kib;
  }
  return 0;
}

TEST(Million, FibersParkAndAreAllWoken) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int wanted = 5'000;  // a sanitizer's shadow of each stack is large
#elif defined(__has_feature)
  constexpr int wanted = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 5'000 : 1'000'000;
#else
  constexpr int wanted = 1'000'000;
#endif
  // With one P and with eight it starts some fibers; with two it starts all, which takes seconds and 5 GB.
  const long room = available_memory() / 2 / 5;  // at 5 KiB each, they use half of it
  const int n = static_cast<int>(std::min<long>(baton::procs() == 2 ? wanted : std::min(wanted, 20'000), room));
  if (n < 20'000 && wanted > 20'000) GTEST_SKIP() << "too little memory";
  baton::event gate;
  std::atomic<int> waiting{0};
  std::atomic<int> woken{0};
  baton::wait_group all;
  all.add(n);
  baton::spawn([&] {
    for (int i = 0; i < n; ++i) {
      baton::go(baton::attributes{{}, 64 * 1024}, [&] {
        waiting.fetch_add(1);
        gate.wait();
        woken.fetch_add(1);
        all.done();
      });
    }
  }).join();
  while (waiting < n) baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(woken, 0);
  const auto s = baton::stats();
  EXPECT_GE(s.fibers, static_cast<std::uint64_t>(n));
  if (std::string(s.guard) == "region") {
    EXPECT_EQ(s.stacks_unguarded, 0U);
  }
  gate.set();
  all.wait();
  EXPECT_EQ(woken, n);
}

}  // namespace
