// The value of an environment variable counts as a whole. A value that does not count is reported.
#include <baton/sched/environment.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace {

using namespace baton::sched;
constexpr const char* variable = "BATON_ENVIRONMENT_TEST";

template <class F>
std::string said(F&& f) {
  testing::internal::CaptureStderr();
  f();
  return testing::internal::GetCapturedStderr();
}

std::optional<int> number(const char* value) {
  if (value == nullptr) {
    ::unsetenv(variable);
  } else {
    ::setenv(variable, value, 1);
  }
  return environment_number(variable, 1, 256, "using seven");
}

TEST(Environment, WholeNumbersInRangeCount) {
  EXPECT_EQ(said([] {
              EXPECT_EQ(number(nullptr), std::nullopt);
              EXPECT_EQ(number("1"), 1);
              EXPECT_EQ(number("256"), 256);
              EXPECT_EQ(number("  7 "), 7);
            }),
            "");
}

TEST(Environment, AnythingElseIsSaidAndDoesNotCount) {
  for (const char* const bad : {"", " ", "4x", "1e3", "2,4", "0x4", "99999999999999999999", "-3", "0", "257",
                                "4294967300", "1.9", "abc", "+ 4", "4 4"}) {
    const std::string text = said([bad] { EXPECT_EQ(number(bad), std::nullopt) << bad; });
    EXPECT_EQ(text,
              std::string("baton: ") + variable + "=\"" + bad + "\" is not a number from 1 to 256; using seven\n");
  }
}

TEST(Environment, AValueIsShownEscapedAndCut) {
  const std::string text =
      said([] { EXPECT_EQ(number("\x1b[2J\n\"fake\" line that is rather long, and longer"), std::nullopt); });
  EXPECT_EQ(
      text,
      std::string("baton: ") + variable +
          "=\"\\x1b[2J\\n\\\"fake\\\" line that is rather long, an\"... is not a number from 1 to 256; using seven\n");
}

TEST(Environment, AFlagIsOneOrZero) {
  EXPECT_EQ(said([] {
              ::unsetenv(variable);
              EXPECT_FALSE(environment_flag(variable));
              ::setenv(variable, "0", 1);
              EXPECT_FALSE(environment_flag(variable));
              ::setenv(variable, "1", 1);
              EXPECT_TRUE(environment_flag(variable));
            }),
            "");
  EXPECT_NE(said([] {
              ::setenv(variable, "yes", 1);
              EXPECT_FALSE(environment_flag(variable));
            }).find("neither 1 nor 0"),
            std::string::npos);
}

}  // namespace
