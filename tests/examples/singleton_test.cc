// singleton: one program at a time, whatever ends it.
#include "examples/filter.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <string>

namespace {

using baton_test::filter;

class Singleton : public testing::Test {
 protected:
  Singleton() { ::close(::mkstemp(name_)); }
  ~Singleton() override { ::unlink(name_); }
  [[nodiscard]] std::string lock() const { return name_; }

 private:
  char name_[32] = "/tmp/singleton_test.XXXXXX";
};

TEST_F(Singleton, RunsTheProgramAndEndsAsItDoes) {
  filter ok("singleton", {lock(), "echo", "hello"});
  EXPECT_EQ(ok.rest(), "hello\n");
  EXPECT_EQ(ok.wait(), 0);
  filter code("singleton", {lock(), "sh", "-c", "exit 7"});
  EXPECT_EQ(code.wait(), 7);
  filter killed("singleton", {lock(), "sh", "-c", "kill -KILL $$"});
  EXPECT_EQ(killed.wait(), 128 + SIGKILL);
  filter none("singleton", {lock(), "/nowhere/program"});
  EXPECT_EQ(none.wait(), 1);
}

TEST_F(Singleton, ASecondOneDoesNotRun) {
  filter first("singleton", {lock(), "sh", "-c", "echo runs; read line"});
  EXPECT_EQ(first.read_line(), "runs");
  filter second("singleton", {lock(), "echo", "runs, too"});
  EXPECT_NE(second.rest().find(" has the lock\n"), std::string::npos);
  EXPECT_EQ(second.wait(), 75);
  first.write("go on\n");
  EXPECT_EQ(first.wait(), 0);
  filter third("singleton", {lock(), "echo", "runs now"});
  EXPECT_EQ(third.rest(), "runs now\n");
  EXPECT_EQ(third.wait(), 0);
}

TEST_F(Singleton, ASignalEndsTheProgram) {
  filter p("singleton", {lock(), "sh", "-c", "echo runs; exec sleep 1000"});
  EXPECT_EQ(p.read_line(), "runs");
  p.signal(SIGTERM);
  EXPECT_EQ(p.wait(), 128 + SIGTERM);
  filter next("singleton", {lock(), "true"});
  EXPECT_EQ(next.wait(), 0);
}

}  // namespace
