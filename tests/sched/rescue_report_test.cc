// What the user is told of a rescue, and how often.
#include <baton/sched/rescue_report.h>

#include "on_fiber.h"

#include <baton/sched/counters.h>
#include <baton/sched/platform/thread.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace vendor {

__attribute__((noinline)) void waits_for_a_byte(int fd) {
  char c = 0;
  while (::read(fd, &c, 1) != 1) {
  }
  asm volatile("" ::: "memory");
}

__attribute__((noinline)) void polls_for_a_byte(int fd) {
  pollfd what{fd, POLLIN, 0};
  ::poll(&what, 1, -1);
  asm volatile("" ::: "memory");
}

}  // namespace vendor

namespace {

using namespace baton::sched;
using kind = platform::thread_call_state::kind;
constexpr std::int64_t second = 1'000'000'000;

class pipe_pair {
 public:
  pipe_pair() {
    if (::pipe2(fds_, O_NONBLOCK) != 0) std::abort();
  }
  ~pipe_pair() {
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  [[nodiscard]] int in() const { return fds_[1]; }
  [[nodiscard]] std::string text() const {
    std::string s(65536, '\0');
    const ssize_t n = ::read(fds_[0], s.data(), s.size());
    s.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return s;
  }

 private:
  int fds_[2];
};

// The call that poll() makes.
#if defined(SYS_poll)
constexpr long poll_call = SYS_poll;
#else
constexpr long poll_call = SYS_ppoll;
#endif

// A thread in the place of an M whose fiber blocks or computes.
class suspect {
 public:
  enum class doing { reads, polls, computes };

  explicit suspect(doing what) {
    if (::pipe(fds_) != 0) std::abort();
    thread_ = std::thread([this, what] {
      void* bottom = nullptr;
      std::size_t size = 0;
      platform::thread_stack(&bottom, &size);
      who_.stack.low = reinterpret_cast<std::uintptr_t>(bottom);
      who_.stack.high = who_.stack.low + size;
      tid_ = platform::thread_id();
      if (what == doing::reads) vendor::waits_for_a_byte(fds_[0]);
      if (what == doing::polls) vendor::polls_for_a_byte(fds_[0]);
      while (what == doing::computes && !stop_) {
      }
    });
    while (tid_ == 0) std::this_thread::yield();
    const long number = what == doing::reads ? SYS_read : poll_call;
    while (what != doing::computes && platform::thread_call(tid_).number != number) std::this_thread::yield();
    who_.fiber = 17;
    std::strcpy(who_.name, "resolver");
    static constexpr fiber_start start{.closure = "text() [with F = the vendor's loop]"};
    who_.start = &start;
    who_.tid = tid_;
    who_.age_ns = 12'345'678;
    who_.what = what == doing::computes ? rescued::kind::computed : rescued::kind::blocked;
  }
  ~suspect() {
    stop_ = true;
    EXPECT_EQ(::write(fds_[1], "x", 1), 1);
    thread_.join();
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  [[nodiscard]] const rescued& who() const { return who_; }

 private:
  int fds_[2] = {};
  rescued who_;
  std::atomic<std::int32_t> tid_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

bool holds(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST(RescueReport, NamesTheFiberTheCallAndTheFunction) {
  const suspect s(suspect::doing::reads);
  const pipe_pair out;
  rescue_reports reports;
  EXPECT_TRUE(reports.report(s.who(), second, out.in()));
  const std::string text = out.text();
  EXPECT_EQ(text.rfind("baton: fiber 17 \"resolver\" kept its P for 12 ms in undeclared read (syscall " +
                           std::to_string(SYS_read) + "); P handed on. Wrap it in baton::blocking().\n    #0 ",
                       0),
            0U)
      << text;
  EXPECT_TRUE(holds(text, "vendor::waits_for_a_byte()")) << text;
  EXPECT_EQ(text.back(), '\n');
}

TEST(RescueReport, OfOneThatComputesSaysThatTheAddressIsUnknown) {
  const suspect s(suspect::doing::computes);
  const pipe_pair out;
  rescue_reports reports;
  EXPECT_TRUE(reports.report(s.who(), second, out.in()));
  const std::string text = out.text();
  EXPECT_TRUE(holds(text, "computed for 12 ms without a call that may switch; P handed on.")) << text;
  EXPECT_TRUE(holds(text, " It began in the vendor's loop. ")) << text;
  EXPECT_TRUE(holds(text, "Where it is now is unknown")) << text;
}

TEST(RescueReport, OfAThreadThatIsGone) {
  rescued who;
  who.fiber = 3;
  who.tid = 4'194'304;  // beyond the kernel's largest
  who.age_ns = 20'000'000;
  const pipe_pair out;
  rescue_reports reports;
  EXPECT_TRUE(reports.report(who, second, out.in()));
  const std::string text = out.text();
  EXPECT_TRUE(holds(text, "baton: fiber 3 kept its P for 20 ms in an undeclared call; P handed on.")) << text;
  EXPECT_FALSE(holds(text, "#0")) << text;
}

TEST(RescueReport, OfAnotherStackThanTheFibersHasNoFrames) {
  const suspect s(suspect::doing::reads);
  rescued who = s.who();
  who.stack = {4096, 8192};
  const pipe_pair out;
  rescue_reports reports;
  EXPECT_TRUE(reports.report(who, second, out.in()));
  EXPECT_FALSE(holds(out.text(), "#0"));
}

TEST(RescueReport, OneASecondAndOneAMinuteOfThePlace) {
  const suspect reads(suspect::doing::reads);
  const suspect polls(suspect::doing::polls);
  const pipe_pair out;
  rescue_reports reports;
  std::int64_t now = 100 * second;
  EXPECT_TRUE(reports.report(reads.who(), now, out.in()));
  EXPECT_FALSE(reports.report(polls.who(), now + second / 2, out.in())) << "another place, within the second";
  EXPECT_FALSE(reports.report(reads.who(), now + 2 * second, out.in())) << "the same place, within the minute";
  EXPECT_FALSE(holds(out.text(), "poll"));
  EXPECT_TRUE(reports.report(polls.who(), now + 3 * second, out.in()));
  const std::string second_text = out.text();
  EXPECT_TRUE(holds(second_text, "undeclared poll")) << second_text;
  EXPECT_TRUE(holds(second_text, "(2 more were not reported)\n")) << second_text;
  now += 61 * second;
  EXPECT_TRUE(reports.report(reads.who(), now, out.in()));
  const std::string third_text = out.text();
  EXPECT_TRUE(holds(third_text, "undeclared read")) << third_text;
  EXPECT_FALSE(holds(third_text, "not reported")) << third_text;
}

TEST(RescueReport, InStrictModeEachPlaceIsReportedAtOnceAndOnce) {
  const suspect reads(suspect::doing::reads);
  const suspect polls(suspect::doing::polls);
  const pipe_pair out;
  rescue_reports reports;
  reports.once_per_place();
  rescued left_alone = reads.who();
  left_alone.what = rescued::kind::left_alone;
  EXPECT_TRUE(reports.report(left_alone, second, out.in()));
  EXPECT_TRUE(reports.report(polls.who(), second, out.in())) << "another place, at the same time";
  EXPECT_FALSE(reports.report(left_alone, 1000 * second, out.in())) << "the same place, much later";
  EXPECT_FALSE(reports.report(reads.who(), 1000 * second, out.in())) << "the same place, with its P taken";
  const std::string text = out.text();
  EXPECT_TRUE(holds(text, "fiber 17 \"resolver\" blocked its thread for 12 ms in undeclared read")) << text;
  EXPECT_TRUE(holds(text, "; P not handed on (strict mode). Wrap it in baton::blocking().")) << text;
  EXPECT_TRUE(holds(text, "kept its P for 12 ms in undeclared poll")) << text;
  EXPECT_FALSE(holds(text, "not reported")) << text;
}

TEST(RescueReport, InStrictModeAPlaceCountsOnceAlsoIfItsReportIsNotWritten) {
  const suspect reads(suspect::doing::reads);
  const suspect polls(suspect::doing::polls);
  const suspect computes(suspect::doing::computes);
  const pipe_pair out;
  const auto counted = [before = read_counters().strict_reports] { return read_counters().strict_reports - before; };
  rescue_reports reports;
  EXPECT_TRUE(reports.report(polls.who(), second, out.in()));
  EXPECT_EQ(counted(), 0U) << "not in strict mode";
  reports = {};
  reports.once_per_place();
  constexpr int no_descriptor = 1 << 20;
  EXPECT_FALSE(reports.report(reads.who(), second, no_descriptor));
  EXPECT_EQ(counted(), 1U);
  EXPECT_TRUE(reports.report(reads.who(), 2 * second, out.in())) << "it has not been written yet";
  EXPECT_FALSE(reports.report(reads.who(), 3 * second, out.in()));
  EXPECT_EQ(counted(), 1U);
  EXPECT_TRUE(reports.report(computes.who(), 4 * second, out.in()));
  EXPECT_EQ(counted(), 1U) << "a loop that computes is no call";
  EXPECT_TRUE(reports.report(polls.who(), 5 * second, out.in()));
  EXPECT_EQ(counted(), 2U);
}

TEST(RescueReport, AFullPipeIsNotWaitedFor) {
  const suspect s(suspect::doing::reads);
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_NONBLOCK), 0);
  char page[4096] = {};
  while (::write(fds[1], page, sizeof page) > 0) {
  }
  ASSERT_EQ(::fcntl(fds[1], F_SETFL, 0), 0);  // from now on a write would block
  rescue_reports reports;
  EXPECT_FALSE(reports.report(s.who(), second, fds[1]));
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST(RescueReport, DescribesTheFiberOfAMachine) {
  std::atomic<machine*> on{nullptr};
  std::atomic<bool> stop{false};
  fiber* const f = baton_test::spawn_fiber(
      [&] {
        on = this_machine();
        while (!stop) {
        }
      },
      true, "the busy one");
  while (on == nullptr) std::this_thread::yield();
  const rescued r = describe_rescued(*on, rescued::kind::computed, 5);
  stop = true;
  baton_test::join(f);
  EXPECT_STREQ(r.name, "the busy one");
  EXPECT_EQ(r.age_ns, 5);
  EXPECT_EQ(r.what, rescued::kind::computed);
  EXPECT_GT(r.tid, 0);
  EXPECT_GT(r.stack.high, r.stack.low);
}

TEST(RescueReport, KnowsTheCommonCallsThatBlock) {
  EXPECT_STREQ(name_of_syscall(SYS_nanosleep), "nanosleep");
  EXPECT_STREQ(name_of_syscall(SYS_flock), "flock");
  EXPECT_EQ(name_of_syscall(SYS_getpid), nullptr);
  EXPECT_EQ(name_of_syscall(-1), nullptr);
}

}  // namespace
