#include <baton/baton.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace {

__attribute__((noinline)) void vendor_call_by_hand(const std::atomic<int>& turns) {
  const int before = turns;
  baton::enter_syscall();
  do ::usleep(1000);
  while (turns == before);  // until another fiber has had the processor
  baton::exit_syscall();
}

bool sleep_is_expected_to_block() {
  const auto all = baton::call_sites();
  return std::any_of(all.begin(), all.end(), [](const auto& h) {
    return h.expected_to_block && h.place.find("nanosleep (syscall ") != std::string::npos;
  });
}

// Every kind of place is listed, under a name that its author recognises.
TEST(CallSites, NameThePlacesThatBlock) {
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
    }
    // The call lasts until a point in time that is set before the processor is handed over. If the hand-over takes as
    // long as that, because the machine is busy, the call is short, and counts as short. So repeat until the calls were
    // long.
    do ASSERT_TRUE(baton::sys::nanosleep(std::chrono::milliseconds(2)));
    while (!sleep_is_expected_to_block());
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
  for (const char* text : {"vendor_call_by_hand", "nanosleep (syscall ", "lambda"}) {
    const auto h = at(text);
    EXPECT_TRUE(h.expected_to_block) << baton::to_string(h);
    EXPECT_GE(h.handed_over + h.retaken, 1U) << baton::to_string(h);
    EXPECT_EQ(baton::to_string(h).rfind("blocks  ", 0), 0U);
  }
  EXPECT_EQ(at("vendor_call_by_hand").place.rfind("enter_syscall in ", 0), 0U);
}

__attribute__((noinline)) void another_call_by_hand(const std::atomic<bool>& over) {
  baton::enter_syscall();
  while (!over) ::usleep(1000);
  baton::exit_syscall();
}

const baton::call_site_history* find_place(const std::vector<baton::call_site_history>& all, const char* text) {
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const auto& h) { return h.place.find(text) != std::string::npos; });
  return at != all.end() ? &*at : nullptr;
}

std::uint64_t retaken_at(const char* text) {
  const auto all = baton::call_sites();
  const auto* const place = find_place(all, text);
  return place != nullptr ? place->retaken : 0;
}

// The monitor takes the processor from the first call of a place that turns out to block. It need not take it from the
// other calls, which begin before that one has returned.
TEST(CallSites, LearnAtTheRetake) {
  const auto retaken_before = retaken_at("another_call_by_hand");
  const int before = baton::set_procs(1);
  baton::spawn([] {
    std::atomic<bool> over{false};
    std::atomic<int> begun{0};
    baton::wait_group all;
    for (int i = 0; i < 20; ++i) {
      all.add();
      baton::go([&] {
        begun.fetch_add(1);
        another_call_by_hand(over);
        all.done();
      });
    }
    while (begun < 20) baton::this_fiber::yield();
    over = true;
    all.wait();
  }).join();
  baton::set_procs(before);
  const auto all = baton::call_sites();
  const auto* const place = find_place(all, "another_call_by_hand");
  ASSERT_NE(place, nullptr);
  EXPECT_LE(place->retaken, retaken_before + 1) << baton::to_string(*place);
  EXPECT_GE(place->handed_over, 1U) << baton::to_string(*place);
}

struct said_to_be_short {
  const std::atomic<bool>& over;
  void operator()() const {
    while (!over) ::usleep(1000);
  }
};

TEST(CallSites, ShowAHintThatIsWrong) {
  const auto retaken_before = retaken_at("said_to_be_short");
  const int before = baton::set_procs(1);
  baton::spawn([] {
    std::atomic<bool> over{false};
    auto waits = baton::spawn([&] { over = true; });
    baton::blocking(baton::wont_block, said_to_be_short{over});
    waits.join();
  }).join();
  baton::set_procs(before);
  const auto all = baton::call_sites();
  const auto* const place = find_place(all, "said_to_be_short");
  ASSERT_NE(place, nullptr);
  EXPECT_EQ(place->retaken, retaken_before + 1) << baton::to_string(*place);
}

}  // namespace
