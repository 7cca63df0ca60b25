// Back-pressure: thousands of calls on a narrow gate leave the rest of the program alone.
#include "parked.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/blocking_gate.h>

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace {

#if BATON_TSAN
constexpr std::uint64_t calls = 2'000;  // a fiber costs much more there
#else
constexpr std::uint64_t calls = 10'000;
#endif
constexpr int room = 32;

TEST(CrowdedGate, NothingElseWaits) {
  baton::run([] {
    const auto before = baton::stats();
    baton::blocking_gate gate(room);
    baton::event leave;
    std::atomic<int> inside{0};
    std::atomic<int> most_inside{0};
    std::vector<baton::fiber<void>> fibers;
    for (std::uint64_t i = 0; i < calls; ++i) {
      if (i % 64 == 0) baton::this_fiber::yield();
      fibers.push_back(baton::spawn([&] {
        baton::blocking(gate, [&] {
          const int now = ++inside;
          for (int most = most_inside; now > most && !most_inside.compare_exchange_weak(most, now);) {
          }
          leave.wait();  // in a declared call: the thread waits
          --inside;
        });
      }));
    }
    while (gate.stats().waiting != calls - room) baton::this_fiber::yield();
    const auto crowded = baton::stats();
    EXPECT_EQ(calls - room, crowded.gates_waiting - before.gates_waiting);
    EXPECT_EQ(room, inside);
    // Those inside keep a thread each. Those that wait keep none.
    EXPECT_LE(crowded.threads, before.threads + room + 2 * crowded.procs + 16);

    // Fibers meet, another gate has room, and a call that passes none is made.
    const baton::channel<int> there;
    const baton::channel<int> back;
    auto echo = baton::spawn([&] {
      while (const auto n = there.receive()) back.send(*n);
    });
    for (int i = 0; i < 1000; ++i) {
      there.send(i);
      ASSERT_EQ(i, back.receive());
    }
    there.close();
    echo.join();
    baton::blocking_gate other(1);
    EXPECT_EQ(7, baton::blocking(other, [] { return 7; }));
    EXPECT_EQ(8, baton::blocking([] { return 8; }));
    EXPECT_EQ(room, inside) << "no call of the crowded gate has left meanwhile";

    leave.set();
    for (auto& f : fibers) f.join();
    EXPECT_EQ(room, most_inside);
    const auto after = baton::stats();
    EXPECT_EQ(before.gates_waiting, after.gates_waiting);
    EXPECT_EQ(calls - room, after.gate_waits - before.gate_waits);
    EXPECT_GT(after.gate_waited_ns, before.gate_waited_ns);
    EXPECT_NE(baton::to_string(after).find("gate_waits "), std::string::npos);
  });
}

}  // namespace
