#include <baton/runtime/event.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

TEST(Stats, CountWhatHappens) {
  baton::run([] {
    const baton::runtime_stats before = baton::stats();
    EXPECT_EQ(static_cast<std::uint64_t>(baton::procs()), before.procs);
    EXPECT_GE(before.threads, 1U);
    EXPECT_GE(before.fibers, 1U);

    constexpr std::uint64_t many = 100;
    baton::event go_on;
    std::vector<baton::fiber<void>> parked;
    std::vector<baton::event> waiting(many);
    for (std::uint64_t i = 0; i < many; ++i) {
      parked.push_back(baton::spawn([&, i] {
        waiting[i].set();
        go_on.wait();
      }));
    }
    for (auto& w : waiting) w.wait();
    const baton::runtime_stats during = baton::stats();
    EXPECT_GE(during.fibers, before.fibers + many);
    EXPECT_GE(during.spawned, before.spawned + many);
    EXPECT_GE(during.stacks, many);
    EXPECT_GT(during.stack_bytes, 0U);
    EXPECT_GT(during.switches, before.switches);
    while (baton::stats().fibers_parked < many) baton::this_fiber::yield();

    go_on.set();
    parked.clear();
    while (baton::stats().fibers >= before.fibers + many) baton::this_fiber::yield();
    EXPECT_STRNE("", during.guard);
    EXPECT_STRNE("", during.barrier);
  });
}

TEST(Stats, PrintAsLines) {
  baton::run([] {
    const std::string text = to_string(baton::stats());
    EXPECT_NE(std::string::npos, text.find("procs " + std::to_string(baton::procs()) + "\n")) << text;
    EXPECT_NE(std::string::npos, text.find("rescues ")) << text;
  });
}

}  // namespace
