// run and monitor: the programs that start and watch processes.
#include "examples/filter.h"

#include <gtest/gtest.h>

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using baton_test::filter;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Run, LogsWhatItsProgramsWriteAndEndsWithThem) {
  filter p("run", {"echo one; echo two >&2", "printf 'no end\\n\\033[31mred'"});
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 0) << text;
  for (const char* const line :
       {"[1] started, process ", "[1] one\n", "[1] two\n", "[2] no end\n", "[1] exit code 0"}) {
    EXPECT_TRUE(has(text, line)) << line << " in " << text;
  }
  EXPECT_FALSE(has(text, "\033"));
}

TEST(Run, StartsAProgramThatFailsAgain) {
  char name[] = "/tmp/run_test.XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string directory = name;
  filter p("run", {"mkdir " + directory + "/first && exit 3; kill -KILL $$"});
  while (!has(p.read_line(), "[1] exit code 3 after ")) {
  }
  std::string line;
  do line = p.read_line();
  while (!line.empty() && !has(line, "[1] killed by SIGKILL after "));
  EXPECT_TRUE(has(line, "; again in 200 ms")) << line;
  p.signal(SIGTERM);
  p.rest();
  EXPECT_EQ(p.wait(), 0);
  EXPECT_EQ(std::system(("rm -r " + directory).c_str()), 0);
}

TEST(Run, ASignalEndsTheProgramsAndTheirChildren) {
  filter p("run", {"sleep 1000 & echo child $!; wait", "exec sleep 1000"});
  std::string line;
  do line = p.read_line();
  while (!line.empty() && !has(line, "[1] child "));
  const pid_t grandchild = std::atoi(line.c_str() + line.rfind(' '));
  ASSERT_GT(grandchild, 0) << line;
  p.signal(SIGTERM);
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 0);
  EXPECT_TRUE(has(text, "[1] killed by SIGTERM")) << text;
  // It is gone, or a zombie that the reaper of orphans here has not reaped yet.
  if (std::FILE* const f = std::fopen(("/proc/" + std::to_string(grandchild) + "/stat").c_str(), "r")) {
    char state = 0;
    EXPECT_EQ(std::fscanf(f, "%*d %*s %c", &state), 1);
    EXPECT_TRUE(state == 'Z' || state == 'X') << state;
    std::fclose(f);
  }
}

TEST(Run, WithoutAProgramItSaysHowItIsCalled) {
  filter p("run", {});
  EXPECT_EQ(p.rest(), "usage: run COMMAND...\n");
  EXPECT_EQ(p.wait(), 2);
}

pid_t sleeper() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execlp("sleep", "sleep", "1000", nullptr);
    ::_exit(127);
  }
  return pid;
}

TEST(Monitor, SaysWhichProcessHasEndedAndEndsWithTheLast) {
  const pid_t a = sleeper();
  const pid_t b = sleeper();
  filter p("monitor", {std::to_string(a), std::to_string(b)});
  EXPECT_TRUE(has(p.read_line(), "watching " + std::to_string(a)));
  EXPECT_TRUE(has(p.read_line(), "watching " + std::to_string(b)));
  ::kill(b, SIGKILL);
  std::string line = p.read_line();
  EXPECT_TRUE(line.starts_with(std::to_string(b) + " (")) << line;
  EXPECT_TRUE(has(line, ", 1 left")) << line;
  ::kill(a, SIGKILL);
  line = p.read_line();
  EXPECT_TRUE(line.starts_with(std::to_string(a) + " (")) << line;
  EXPECT_EQ(p.wait(), 0);
  EXPECT_EQ(::waitpid(a, nullptr, 0), a);
  EXPECT_EQ(::waitpid(b, nullptr, 0), b);
}

TEST(Monitor, ASignalEndsItAndWrongProcessesAreNamed) {
  const pid_t a = sleeper();
  {
    filter p("monitor", {std::to_string(a)});
    EXPECT_TRUE(has(p.read_line(), "watching "));
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 0);
  }
  ::kill(a, SIGKILL);
  EXPECT_EQ(::waitpid(a, nullptr, 0), a);
  filter gone("monitor", {std::to_string(a)});
  EXPECT_TRUE(has(gone.rest(), "monitor: ")) << "and says why";
  EXPECT_EQ(gone.wait(), 1);
  filter none("monitor", {"12x"});
  EXPECT_EQ(none.rest(), "usage: monitor PID...\n");
  EXPECT_EQ(none.wait(), 2);
}

}  // namespace
