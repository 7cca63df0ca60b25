// Sockets from the process that started this one. The tests start this program again, by a shell that sets LISTEN_PID
// to its own id before it becomes the program; what the child does are the tests of InTheChild.
#include "net_test_support.h"

#include <baton/netpoll/inherited.h>
#include <baton/runtime/exit_status.h>
#include <baton/syscall/fork_exec.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/processes.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

// Runs one test of InTheChild with these descriptors as 3, 4 … and these variables. Returns its exit status.
int status_of_child(const std::string& test, std::vector<int> from_three_on, std::vector<std::string> variables) {
  sys::child_attributes how;
  how.files.insert(how.files.end(), from_three_on.begin(), from_three_on.end());
  how.env = std::move(variables);
  how.env->push_back("INHERITED_CHILD=1");
  for (const char* const kept :
       {"BATON_PROCS", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "BATON_SKIPPED_TESTS"}) {
    if (const char* const value = std::getenv(kept)) how.env->push_back(std::string(kept) + "=" + value);
  }
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const auto pid = sys::fork_exec(
      "/bin/sh",
      {"sh", "-c", "export LISTEN_PID=${LISTEN_PID-$$}; exec \"$0\" --gtest_brief=1 --gtest_filter=InTheChild." + test,
       self},
      how);
  EXPECT_TRUE(pid) << pid.error();
  const auto ended = sys::wait4(*pid, 0);
  EXPECT_TRUE(ended);
  return ended->code();
}

TEST(Inherited, ListenersWorkInTheChild) {
  run([] {
    tcp_listener http = listen();
    tcp_listener admin = listen();
    auto client = spawn([&] {
      std::string said;
      for (const tcp_listener* l : {&http, &admin}) {
        tcp_stream s = must(dial(l->local_address().to_string()));
        char text[8] = {};
        said.append(text, *s.read_full({text, 5}));
      }
      return said;
    });
    EXPECT_EQ(status_of_child("ServesTwoListeners", {http.native_handle(), admin.native_handle()},
                              {"LISTEN_FDS=2", "LISTEN_FDNAMES=http:admin"}),
              0);
    http.close();
    admin.close();
    EXPECT_EQ(client.join(), "http admin");
  });
}

TEST(Inherited, OthersAreLeftForLaterCalls) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const sys::owned_fd ours(pair[0]);
  const sys::owned_fd theirs(pair[1]);
  tcp_listener l = listen();
  EXPECT_EQ(status_of_child("TakesTheUnixSocket", {theirs.get(), l.native_handle()}, {"LISTEN_FDS=2"}), 0);
  char text[5] = {};
  EXPECT_EQ(::read(ours.get(), text, 5), 5);
  EXPECT_EQ(std::string(text, 5), "hello");
}

TEST(Inherited, VariablesThatContradictTheProtocol) {
  EXPECT_EQ(status_of_child("FindsNone", {}, {}), 0);
  EXPECT_EQ(status_of_child("FindsNone", {}, {"LISTEN_FDS=0"}), 0);
  EXPECT_EQ(status_of_child("FindsNone", {}, {"LISTEN_FDS=1", "LISTEN_PID=1"}), 0) << "for another process";
  EXPECT_EQ(status_of_child("IsTold", {}, {"LISTEN_FDS=one"}), 0);
  EXPECT_EQ(status_of_child("IsTold", {}, {"LISTEN_FDS=-1"}), 0);
  EXPECT_EQ(status_of_child("IsTold", {}, {"LISTEN_FDS=1", "LISTEN_PID=x"}), 0);
  EXPECT_EQ(status_of_child("IsTold", {}, {"LISTEN_FDS=2", "LISTEN_FDNAMES=one"}), 0);
  EXPECT_EQ(status_of_child("MissesADescriptor", {}, {"LISTEN_FDS=1"}), 0);
}

// The other side.
class InTheChild : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("INHERITED_CHILD") == nullptr) GTEST_SKIP() << "runs in a child of another test";
  }
};

TEST_F(InTheChild, ServesTwoListeners) {
  EXPECT_TRUE(must(inherited_listeners("nobody")).empty());
  std::vector<tcp_listener> admin = must(inherited_listeners("admin"));
  ASSERT_EQ(admin.size(), 1U);
  EXPECT_EQ(admin[0].native_handle(), 4);
  EXPECT_EQ(::fcntl(3, F_GETFD), FD_CLOEXEC) << "children do not get them";
  std::vector<tcp_listener> rest = must(inherited_listeners());
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].native_handle(), 3);
  EXPECT_TRUE(must(inherited_listeners()).empty()) << "each is handed out once";
  EXPECT_TRUE(must(inherited_descriptors()).empty());
  EXPECT_TRUE(must(rest[0].accept()).write("http ").ok());
  EXPECT_TRUE(must(admin[0].accept()).write("admin").ok());
}

TEST_F(InTheChild, TakesTheUnixSocket) {
  EXPECT_EQ(must(inherited_listeners()).size(), 1U);
  std::vector<inherited_descriptor> rest = must(inherited_descriptors());
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].name, "unknown");
  EXPECT_EQ(rest[0].fd.get(), 3);
  EXPECT_EQ(::write(3, "hello", 5), 5);
}

TEST_F(InTheChild, FindsNone) {
  EXPECT_TRUE(must(inherited_listeners()).empty());
  EXPECT_TRUE(must(inherited_descriptors()).empty());
}

TEST_F(InTheChild, IsTold) {
  const absl::Status s = inherited_listeners().status();
  EXPECT_TRUE(absl::IsInvalidArgument(s)) << s;
  EXPECT_NE(s.message().find("LISTEN_"), std::string::npos) << s;
  EXPECT_EQ(inherited_descriptors().status(), s);
}

TEST_F(InTheChild, MissesADescriptor) { EXPECT_EQ(errno_of(inherited_listeners().status()), EBADF); }

}  // namespace
}  // namespace baton::net::test
