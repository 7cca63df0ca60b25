// Children without memory: a start reports it and leaves no child, no zombie and no descriptor.
#include "failing_allocations.h"

#include <baton/baton.h>

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

namespace baton::test {
namespace {

// In a fiber, and on a plain thread.
void on_both(const std::function<void(failing_allocation&)>& attempt, whose owner) {
  run([&] { fail_each_allocation(attempt, owner); });
  fail_each_allocation(attempt, owner);
}

// Of the children that fork_exec() or wait() has told of, none is left.
void expect_no_child() {
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

// Runs a program while the owner's allocations fail.
void run_without_memory(const std::vector<std::string>& args, whose owner) {
  on_both(
      [&args](failing_allocation& fails) {
        absl::StatusOr<exit_status> end;
        command c("/bin/true", args);
        const bool threw = fails.during([&] { end = c.run(); });
        EXPECT_TRUE(fails.happened() || (!threw && end.ok() && end->success()));
        expect_no_child();
      },
      owner);
}

TEST(ProcessesWithoutMemory, AStartFailsAndLeavesNoChild) {
  run_without_memory({"an argument that is too long for the room within a string"}, whose::caller);
}

TEST(ProcessesWithoutMemory, AChildIsReapedAlsoIfItsReaperGetsNone) { run_without_memory({}, whose::everybody); }

TEST(ProcessesWithoutMemory, OutputReportsIt) {
  on_both(
      [](failing_allocation& fails) {
        absl::StatusOr<std::string> text;
        command c("/bin/echo", {"a line that is too long for the room that there is within a string"});
        const bool threw = fails.during([&] { text = c.output(); });
        EXPECT_TRUE(fails.happened() || (!threw && text.ok() && text->size() == 67)) << text.status();
        expect_no_child();
      },
      whose::everybody);
}

TEST(ProcessesWithoutMemory, PipesAreMadeOrNot) {
  on_both(
      [](failing_allocation& fails) {
        absl::StatusOr<pipe_ends> ends;
        const bool threw = fails.during([&] { ends = make_pipe(); });
        EXPECT_TRUE(fails.happened() || (!threw && ends.ok()));
        EXPECT_TRUE(threw || ends.ok() || errno_of(ends.status()) == ENOMEM) << ends.status();
      },
      whose::caller);
}

TEST(ProcessesWithoutMemory, ForkExecReportsIt) {
  on_both(
      [](failing_allocation& fails) {
        sys::result<::pid_t> pid = sys::failure(EINVAL);
        const std::vector<std::string> argv = {"true"};
        const std::string path = "/bin/true";
        const sys::child_attributes attributes;
        EXPECT_FALSE(fails.during([&] { pid = sys::fork_exec(path, argv, attributes); }));
        EXPECT_TRUE(pid || pid.error() == ENOMEM);
        EXPECT_TRUE(!pid || sys::wait4(*pid)->success());
        expect_no_child();
      },
      whose::caller);
}

}  // namespace
}  // namespace baton::test
