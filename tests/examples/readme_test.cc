// The program in the README equals examples/echo.cc, so it compiles.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

namespace {

std::string content_of(const std::string& path) {
  std::ifstream in(std::string(BATON_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(in.is_open()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Readme, ShowsAProgramThatCompiles) {
  const std::string readme = content_of("README.md");
  const std::string fence = "```cpp\n";
  const std::size_t begin = readme.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const std::size_t end = readme.find("```", begin + fence.size());
  ASSERT_NE(end, std::string::npos);
  const std::string program = readme.substr(begin + fence.size(), end - begin - fence.size());
  EXPECT_EQ(program, content_of("examples/echo.cc"));
  EXPECT_LE(std::count(program.begin(), program.end(), '\n'), 32);
}

}  // namespace
