// file_pool: both ways read every file.
#include "examples/filter.h"
#include "syscall/temporary_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace {

using baton_test::filter;

struct line {
  std::string name;
  int threads;
};

// Of the lines below the first one.
std::vector<line> lines_of(std::istringstream& text) {
  std::vector<line> all;
  for (std::string one; std::getline(text, one);) {
    std::smatch part;
    const std::regex form(R"((?:cold|cached|) +(\w.*\w) +\d+ +\d+\.\d +(\d+))");
    if (std::regex_match(one, part, form)) all.push_back({part[1], std::stoi(part[2])});
  }
  return all;
}

TEST(FilePool, ShowsBothWaysColdAndCached) {
  const temporary_directory dir;
  std::filesystem::create_directory(dir / "below");
  for (int i = 0; i < 40; ++i) {
    std::ofstream(dir / ((i % 2 == 0 ? "" : "below/") + std::to_string(i))) << std::string(100'000, 'x');
  }
  std::filesystem::create_symlink("nowhere", dir / "link");
  filter p("file_pool", {dir.path(), "3"});
  std::istringstream text(p.rest());
  EXPECT_EQ(p.wait(), 0);
  std::string head;
  std::getline(text, head);
  EXPECT_EQ(head.rfind("40 files ", 0), 0U) << head;
  const std::vector<line> lines = lines_of(text);
  ASSERT_EQ(lines.size(), 4U) << text.str();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].name, i % 2 == 0 ? "plain reads" : "pool of 3");
    EXPECT_GE(lines[i].threads, 3);  // the main thread, the monitor, one that runs fibers
  }
}

TEST(FilePool, SaysWhatIsWrong) {
  const temporary_directory dir;
  filter none("file_pool", {dir.path()});
  EXPECT_EQ(none.rest(), "file_pool: NOT_FOUND: there is no regular file below " + dir.path() + "\n");
  EXPECT_EQ(none.wait(), 1);
  filter missing("file_pool", {dir / "missing"});
  EXPECT_NE(missing.rest().find("No such file or directory (ENOENT)\n"), std::string::npos);
  EXPECT_EQ(missing.wait(), 1);
  for (const char* workers : {"0", "x", "1001"}) {
    filter misused("file_pool", {dir.path(), workers});
    EXPECT_EQ(misused.wait(), 2) << workers;
  }
}

}  // namespace
