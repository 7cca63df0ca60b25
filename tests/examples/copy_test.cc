// copy: each method copies what is there, and leaves nothing behind when it cannot.
#include "examples/filter.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

using baton_test::filter;

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Copy : public testing::Test {
 protected:
  Copy() { static_cast<void>(::mkdtemp(name_)); }
  ~Copy() override { std::filesystem::remove_all(name_); }
  [[nodiscard]] std::string at(const std::string& name) const { return std::string(name_) + "/" + name; }

 private:
  char name_[32] = "/tmp/copy_test.XXXXXX";
};

TEST_F(Copy, EachMethodCopiesEverything) {
  std::string text;
  for (int i = 0; i < 900'000; ++i) text += std::to_string(i) + "\n";  // more than one piece
  std::ofstream(at("from")) << text;
  for (const std::string method : {"auto", "read_write", "sendfile", "copy_file_range", "splice"}) {
    filter p("copy", {at("from"), at(method), method});
    EXPECT_EQ(p.wait(), 0) << method;
    EXPECT_TRUE(content(at(method)) == text) << method;
  }
}

TEST_F(Copy, AFileWhoseSizeNobodyKnows) {
  for (const std::string method : {"auto", "read_write"}) {
    filter p("copy", {"/proc/filesystems", at(method), method});
    EXPECT_EQ(p.wait(), 0) << method;
    EXPECT_EQ(content(at(method)), content("/proc/filesystems")) << method;
  }
}

TEST_F(Copy, LeavesNothingAfterAnErrorAndWhatWasThereBefore) {
  std::ofstream(at("there")) << "kept";
  filter exists("copy", {"/proc/filesystems", at("there")});
  EXPECT_EQ(exists.wait(), 1);
  EXPECT_EQ(content(at("there")), "kept");
  filter missing("copy", {at("missing"), at("to")});
  EXPECT_EQ(missing.wait(), 1);
  filter directory("copy", {at(""), at("to"), "read_write"});
  EXPECT_EQ(directory.wait(), 1);
  EXPECT_FALSE(std::filesystem::exists(at("to")));
  filter misused("copy", {at("there"), at("to"), "by_hand"});
  EXPECT_EQ(misused.wait(), 2);
}

}  // namespace
