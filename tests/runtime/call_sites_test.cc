#include <baton/baton.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <string>

namespace {

__attribute__((noinline)) void vendor_call_by_hand(const std::atomic<int>& turns) {
  const int before = turns;
  baton::enter_syscall();
  do ::usleep(1000);
  while (turns == before);  // until somebody else has had the processor
  baton::exit_syscall();
}

// Every kind of place is there, under a name that its author recognises.
TEST(call_sites, name_the_places_that_block) {
  const int before = baton::set_procs(1);
  baton::spawn([] {
    std::atomic<bool> done{false};
    std::atomic<int> turns{0};
    auto other = baton::spawn([&] {
      for (; !done; baton::this_fiber::yield()) turns.fetch_add(1);
    });
    for (int i = 0; i < 3; ++i) {
      vendor_call_by_hand(turns);
      baton::blocking([] { ::usleep(2000); });
      ASSERT_TRUE(baton::sys::nanosleep(std::chrono::milliseconds(2)));
    }
    done = true;
  }).join();
  baton::set_procs(before);

  const auto all = baton::call_sites();
  const auto at = [&](const std::string& text) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& h) { return h.place.find(text) != std::string::npos; });
    EXPECT_NE(found, all.end()) << text;
    return found != all.end() ? *found : baton::call_site_history{};
  };
  for (const char* text : {"enter_syscall in ", "nanosleep (syscall ", "lambda"}) {
    const auto h = at(text);
    EXPECT_TRUE(h.expected_to_block) << baton::to_string(h);
    EXPECT_GE(h.handed_over + h.retaken, 1U) << baton::to_string(h);
    EXPECT_EQ(baton::to_string(h).rfind("blocks  ", 0), 0U);
  }
  EXPECT_NE(at("enter_syscall in ").place.find("vendor_call_by_hand"), std::string::npos);
}

}  // namespace
