// A test that does not end is named, with the fibers of its process, long before ctest ends its executable.
#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/signal_action.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>

namespace {

constexpr int watch_signal = SIGSTKFLT;  // no program uses it
// Several times what the slowest test takes on a busy machine. The child of a death test reports before its parent
// does.
constexpr std::time_t patience_s = 150;
constexpr std::time_t patience_of_child_s = 120;

const char* running = "";

void report(int) {
  ::alarm(10);  // the report may not end either
  for (const char* const text : {"\nThis test does not end: ", running, "\n"}) {
    static_cast<void>(::write(STDERR_FILENO, text, std::strlen(text)));
  }
  baton::sched::dump_fibers(STDERR_FILENO);
  ::abort();
}

class hang_watch : public testing::EmptyTestEventListener {
 public:
  void OnTestStart(const testing::TestInfo& test) override {
    name_ = std::string(test.test_suite_name()) + "." + test.name();
    running = name_.c_str();
    if (!made_) {
      struct sigaction action = {};
      action.sa_handler = report;
      baton::sched::platform::set_signal_action(watch_signal, &action, nullptr);
      sigevent event = {};
      event.sigev_notify = SIGEV_SIGNAL;
      event.sigev_signo = watch_signal;
      made_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    }
    set(testing::internal::InDeathTestChild() ? patience_of_child_s : patience_s);
  }
  void OnTestEnd(const testing::TestInfo&) override { set(0); }

 private:
  void set(std::time_t seconds) {
    itimerspec when = {};
    when.it_value.tv_sec = seconds;
    if (made_) ::timer_settime(timer_, 0, &when, nullptr);
  }

  std::string name_;
  timer_t timer_ = {};
  bool made_ = false;
};

// Before main(): gtest's list of listeners is there from the first call on.
[[maybe_unused]] const bool watched = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new hang_watch);
  return true;
}();

}  // namespace
