// The examples of C code that calls back, and of a library that checks its thread.
#include "examples/filter.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

using baton_test::filter;

TEST(CCallbacks, BothAreCalledBack) {
  char name[] = "/tmp/c_callbacks.XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string directory = name;
  ASSERT_EQ(::mkdir((directory + "/a").c_str(), 0700), 0);
  for (const char* file : {"/b", "/a/c", "/a/d"}) std::ofstream(directory + file);
  filter p("c_callbacks", {directory});
  EXPECT_EQ(p.read_line(), "a thread of the C library called 20 times, and got its answers");
  const std::string walked = p.read_line();
  EXPECT_EQ(walked.rfind("nftw() of " + directory + " called back 5 times, and ", 0), 0U) << walked;
  EXPECT_EQ(p.rest(), "");
  EXPECT_EQ(p.wait(), 0);
  std::filesystem::remove_all(directory);
}

TEST(CCallbacks, SaysThatThereIsNoSuchDirectory) {
  filter p("c_callbacks", {"/nonexistent"});
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 1);
  EXPECT_NE(text.find("c_callbacks: nftw /nonexistent: No such file or directory"), std::string::npos) << text;
}

TEST(ThreadAffine, ALockedFiberIsNeverRefused) {
  filter p("thread_affine", {"4", "50"});
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 0) << text;
  EXPECT_NE(text.find(" 0 with lock_os_thread()"), std::string::npos) << text;
}

}  // namespace
