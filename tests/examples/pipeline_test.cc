// pipeline and fan_out, tested from outside.
#include "examples/filter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using baton_test::filter;

class Pipeline : public testing::Test {
 protected:
  void SetUp() override { former_ = std::signal(SIGPIPE, SIG_IGN); }
  void TearDown() override { std::signal(SIGPIPE, former_); }

 private:
  void (*former_)(int) = SIG_DFL;
};

// Prime numbers just below 2^64: each takes seconds to factor.
constexpr const char* hard = "18446744073709551557\n18446744073709551533\n";

TEST_F(Pipeline, PrintsEveryNumberInOrder) {
  filter p("pipeline", {"5"});
  constexpr int n = 5'000;
  std::thread writer([&] {
    for (int i = 0; i < n; ++i) p.write(std::to_string(i * 1000) + (i % 2 == 0 ? "\n" : "\r\n"));
    p.close_input();
  });
  for (int i = 0; i < n; ++i) {
    std::istringstream line(p.read_line());
    std::string number;
    line >> number;
    ASSERT_EQ(number, std::to_string(i * 1000) + ":");
    if (i == 0) continue;
    std::uint64_t product = 1;
    for (std::uint64_t factor = 0; line >> factor;) product *= factor;
    ASSERT_EQ(product, static_cast<std::uint64_t>(i) * 1000);
  }
  writer.join();
  EXPECT_EQ(p.rest(), "");
  EXPECT_EQ(p.wait(), 0);
}

TEST_F(Pipeline, TakesALastLineWithoutAnEnd) {
  filter p("pipeline", {"1"});
  p.write("18446744073709551615");
  p.close_input();
  EXPECT_EQ(p.rest(), "18446744073709551615: 3 5 17 257 641 65537 6700417\n");
  EXPECT_EQ(p.wait(), 0);
}

TEST_F(Pipeline, EndsWithoutInput) {
  filter p("pipeline", {});
  p.close_input();
  EXPECT_EQ(p.rest(), "");
  EXPECT_EQ(p.wait(), 0);
}

// A bad line cancels stages that compute, or wait for it.
TEST_F(Pipeline, FirstErrorEndsAllStages) {
  for (const std::string bad : {"12a\n", "\n", "-1\n", "18446744073709551616\n"}) {
    filter p("pipeline", {"2"});
    p.write(hard + bad);
    EXPECT_NE(p.rest().find("line 3 is no number"), std::string::npos) << bad;
    EXPECT_EQ(p.wait(), 1) << bad;
  }
  filter p("pipeline", {"2"});
  p.write(std::string(100'000, '7'));
  EXPECT_NE(p.rest().find("more than 4096 bytes"), std::string::npos);
  EXPECT_EQ(p.wait(), 1);
}

// The line in an error message comes from an untrusted source, and goes to a terminal.
TEST_F(Pipeline, SaysWhichLineIsBadWithoutItsControlCharacters) {
  filter p("pipeline", {"2"});
  p.write(std::string("1\x1b[2J\0\x9b\xff"
                      "2",
                      9) +
          std::string(200, '3') + "\n");
  EXPECT_EQ(p.rest(), "pipeline: INVALID_ARGUMENT: line 1 is no number: 1[2J2" + std::string(55, '3') + "\n");
  EXPECT_EQ(p.wait(), 1);
}

TEST_F(Pipeline, SignalCancelsWhatWaitsAndWhatComputes) {
  for (const int signal : {SIGINT, SIGTERM}) {
    filter waiting("pipeline", {"2"});
    waiting.write("15\n");
    EXPECT_EQ(waiting.read_line(), "15: 3 5");
    waiting.signal(signal);  // while it waits for input that does not come
    EXPECT_EQ(waiting.rest(), "cancelled\n");
    EXPECT_EQ(waiting.wait(), 128 + signal);

    filter computing("pipeline", {"1"});
    computing.write("15\n");
    for (int i = 0; i < 20; ++i) computing.write(hard);
    EXPECT_EQ(computing.read_line(), "15: 3 5");
    computing.signal(signal);
    EXPECT_EQ(computing.rest(), "cancelled\n");
    EXPECT_EQ(computing.wait(), 128 + signal);
  }
}

// All channels are full, back to the reader.
TEST_F(Pipeline, SignalCancelsWhileInputIsEndless) {
  filter p("pipeline", {"3"});
  p.write("15\n");
  std::thread writer([&] {
    for (int i = 0; i < 100'000; ++i) p.write("18446744073709551557\n");  // until the program has ended
  });
  EXPECT_EQ(p.read_line(), "15: 3 5");
  p.signal(SIGTERM);
  EXPECT_EQ(p.rest(), "cancelled\n");
  EXPECT_EQ(p.wait(), 128 + SIGTERM);
  writer.join();
}

TEST_F(Pipeline, EndsWhenNobodyReadsItsOutput) {
  filter p("pipeline", {"2"});
  std::thread writer([&] {
    for (int i = 0; i < 1'000'000; ++i) p.write("7\n");
    p.close_input();
  });
  EXPECT_EQ(p.read_line(), "7: 7");
  p.close_output();
  EXPECT_EQ(p.wait(), 1);
  writer.join();
}

struct survey {
  std::map<int, std::string> lines;  // by server
  std::string summary;
};

survey fan_out(const std::vector<std::string>& args) {
  filter p("fan_out", args);
  p.close_input();
  survey s;
  for (std::string line; !(line = p.read_line()).empty();) {
    if (line.starts_with("server ")) {
      const int server = std::atoi(line.c_str() + 7);
      EXPECT_TRUE(s.lines.emplace(server, line).second) << line;
    } else {
      EXPECT_EQ(s.summary, "");
      s.summary = line;
    }
  }
  EXPECT_EQ(p.wait(), 0);
  return s;
}

TEST(FanOut, AllAnswerWhenThereIsTime) {
  const survey s = fan_out({"200", "0", "7", "600000", "600000"});
  ASSERT_EQ(s.lines.size(), 200U);
  for (const auto& [server, line] : s.lines) EXPECT_NE(line.find("answered: fine, thank you"), std::string::npos);
  EXPECT_TRUE(s.summary.starts_with("200 answered, 0 late, at most ")) << s.summary;
  const int most = std::atoi(s.summary.c_str() + 30);
  EXPECT_GE(most, 1);
  EXPECT_LE(most, 7);
}

// Questions to servers that answer after an hour are late, also when they make others wait for their turn.
TEST(FanOut, SlowOnesAreLate) {
  const survey s = fan_out({"8", "5", "2", "50", "600000"});
  ASSERT_EQ(s.lines.size(), 8U);
  for (int i = 0; i < 5; ++i) EXPECT_NE(s.lines.at(i).find("late"), std::string::npos) << s.lines.at(i);
}

TEST(FanOut, DeadlineOfTheWholeCoversThoseThatNeverHadTheirTurn) {
  const survey s = fan_out({"6", "6", "2", "600000", "100"});
  ASSERT_EQ(s.lines.size(), 6U);
  for (const auto& [server, line] : s.lines) EXPECT_NE(line.find("late"), std::string::npos) << line;
  EXPECT_TRUE(s.summary.starts_with("0 answered, 6 late, at most ")) << s.summary;
}

}  // namespace
