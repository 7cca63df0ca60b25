// descriptors and strace_tour, tested from outside.
#include "examples/filter.h"
#include "syscall/temporary_directory.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cstddef>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace {

using baton_test::filter;

struct drawing {
  std::vector<std::string> lines;
  int exit_code = 0;
  // Returns the line of that descriptor, or nothing.
  [[nodiscard]] std::string of(int fd) const {
    for (const std::string& line : lines) {
      std::istringstream words(line);
      int number = -1;
      if (words >> number && number == fd) return line;
    }
    return {};
  }
};

drawing draw(const std::vector<std::string>& args, const std::function<void()>& prepare = {}) {
  filter p("descriptors", args, prepare);
  p.close_input();
  drawing d;
  std::istringstream all(p.rest());
  for (std::string line; std::getline(all, line);) d.lines.push_back(line);
  d.exit_code = p.wait();
  return d;
}

bool matches(const std::string& line, const std::string& pattern) {
  return std::regex_match(line, std::regex(pattern));
}

// A pipe of its own, a file that is written at its end, and a path: at numbers that nothing else has.
TEST(Descriptors, DrawsItsOwn) {
  const temporary_directory dir;
  const std::string file = dir / "log";
  const drawing d = draw({}, [&] {
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK) != 0) ::_exit(126);
    ::dup2(ends[0], 200);
    ::dup2(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 201);
    ::dup2(ends[1], 202);
    ::dup2(::open("/", O_PATH | O_CLOEXEC), 203);
    ::close(ends[0]);
    ::close(ends[1]);
  });
  ASSERT_FALSE(d.lines.empty());
  EXPECT_EQ(d.exit_code, 0);
  EXPECT_TRUE(matches(d.lines.front(), " +fd +use +what"));
  EXPECT_TRUE(matches(d.of(200), R"( +200  r  nonblock +pipe:\[\d+\] +<-[-|]*\+.*)")) << d.of(200);
  EXPECT_TRUE(matches(d.of(201), " +201   w append +" + file + R"( +\|.*)")) << d.of(201);
  EXPECT_TRUE(matches(d.of(202), R"( +202   w nonblock +pipe:\[\d+\] +>-[-|]*\+.*)")) << d.of(202);
  EXPECT_TRUE(matches(d.of(203), " +203  path +/( .*)?")) << d.of(203);
  EXPECT_EQ(d.of(200).find_last_of('+'), d.of(202).find_last_of('+'));
  EXPECT_EQ(d.of(200).find_last_of('+'), d.of(201).find_last_of('|'));
  EXPECT_TRUE(matches(d.of(1), R"( +1   w +pipe:.*\+.*)")) << "joined with 2: " << d.of(1);
}

TEST(Descriptors, DrawsThoseOfAnotherProcess) {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const drawing d = draw({std::to_string(::getpid())});
  EXPECT_EQ(d.exit_code, 0);
  EXPECT_TRUE(matches(d.of(null), " +" + std::to_string(null) + "  r  cloexec +/dev/null.*")) << d.of(null);
  ::close(null);
}

TEST(Descriptors, NamesAreSafeToShow) {
  const temporary_directory dir;
  const std::string file = dir / "a\033[2Jb";
  const drawing d = draw({}, [&] { ::dup2(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), 200); });
  EXPECT_TRUE(d.of(200).find("a[2Jb") != std::string::npos && d.of(200).find('\033') == std::string::npos) << d.of(200);
}

TEST(Descriptors, SaysWhatIsWrong) {
  const drawing none = draw({std::to_string(0x3fff'ffff)});
  EXPECT_EQ(none.exit_code, 1);
  ASSERT_EQ(none.lines.size(), 1U);
  EXPECT_EQ(none.lines[0], "descriptors: NOT_FOUND: open /proc/1073741823/fd: No such file or directory (ENOENT)");
  for (const char* odd : {"0", "-1", "x", "12x", "99999999999"}) EXPECT_EQ(draw({odd}).exit_code, 2) << odd;
  EXPECT_EQ(draw({"1", "2"}).exit_code, 2);
}

constexpr std::array<const char*, 9> tour = {
    "stop 1: raw_syscall is the bare trap",
    "stop 2: a typed call is one trap, too",
    "stop 3: a path with a NUL inside makes no call",
    "stop 4: a call that blocks hands its processor over",
    "  the other fiber runs meanwhile",
    "stop 5: a fiber that sleeps costs no thread",
    "stop 6: a stream that has nothing yet parks its fiber",
    "stop 7: a file asks the page cache first",
    "stop 8: the end",
};

TEST(StraceTour, EndsAtItsEnd) {
  filter p("strace_tour", {});
  p.close_input();
  for (const char* line : tour) EXPECT_EQ(p.read_line(), line);
  EXPECT_EQ(p.rest(), "");
  EXPECT_EQ(p.wait(), 0);
}

TEST(StraceTour, SaysThatItCannotWrite) {
  filter p("strace_tour", {}, [] { ::dup2(::open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO); });
  p.close_input();
  EXPECT_EQ(p.rest(), "strace_tour: RESOURCE_EXHAUSTED: write to stdout: No space left on device (ENOSPC)\n");
  EXPECT_EQ(p.wait(), 1);
}

// What stands in the trace between two stops.
class trace {
 public:
  explicit trace(const std::string& path) {
    std::ifstream in(path);
    text_.assign(std::istreambuf_iterator<char>(in), {});
  }
  [[nodiscard]] bool is_there() const { return text_.find("stop 8") != std::string::npos; }
  [[nodiscard]] std::string after(int stop) const {
    const std::size_t from = text_.find("\"stop " + std::to_string(stop));
    return text_.substr(from, text_.find("\"stop " + std::to_string(stop + 1)) - from);
  }
  // Returns the number of the thread in whose line, after that stop, the pattern is found first.
  [[nodiscard]] std::string thread_of(const std::string& pattern, int stop) const {
    std::istringstream lines(after(stop));
    for (std::string line; std::getline(lines, line);) {
      if (std::regex_search(line, std::regex(pattern))) return line.substr(0, line.find(' '));
    }
    return {};
  }

 private:
  std::string text_;
};

bool has(const std::string& text, const std::string& pattern) { return std::regex_search(text, std::regex(pattern)); }

TEST(StraceTour, ATraceShowsWhatTheStopsSay) {
  const temporary_directory dir;
  const std::string to = dir / "trace";
  const std::string program = std::string(BATON_EXAMPLES_DIR) + "/strace_tour";
  filter p("strace_tour", {}, [&] {
    ::execlp("strace", "strace", "-f", "-o", to.c_str(), program.c_str(), nullptr);  // or there is no strace
  });
  p.close_input();
  p.rest();
  const int exit_code = p.wait();
  const trace t(to);
  if (!t.is_there()) GTEST_SKIP() << "no strace here, or it may not trace";
  EXPECT_EQ(exit_code, 0);

  EXPECT_TRUE(has(t.after(1), R"(\bgetppid\()")) << t.after(1);
  EXPECT_TRUE(has(t.after(2), R"(openat\(AT_FDCWD, "/dev/zero")")) << t.after(2);
  EXPECT_TRUE(has(t.after(2), R"(\bread\()")) << t.after(2);
  EXPECT_FALSE(has(t.after(3), "passwd")) << t.after(3);
  const std::string waits = t.thread_of(R"(\bread\()", 4), goes_on = t.thread_of("meanwhile", 4);
  EXPECT_NE(waits, "") << t.after(4);
  EXPECT_NE(goes_on, "") << t.after(4);
  EXPECT_NE(waits, goes_on) << t.after(4);
  EXPECT_FALSE(has(t.after(5), "nanosleep")) << t.after(5);
  EXPECT_TRUE(has(t.after(6), "EAGAIN")) << t.after(6);
  EXPECT_TRUE(has(t.after(6), "epoll_(p?wait2?)")) << t.after(6);
  EXPECT_TRUE(has(t.after(6), R"(recvfrom\(\d+, "hello")") || has(t.after(6), R"(recvfrom resumed>"hello")"))
      << t.after(6);
  EXPECT_TRUE(has(t.after(7), R"(preadv2\(.*RWF_NOWAIT)") || has(t.after(7), "preadv2 resumed")) << t.after(7);
}

}  // namespace
