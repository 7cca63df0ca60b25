// How the example programs end: what they print, and their exit codes, when they are called wrongly, cannot listen,
// cannot accept, or are told to stop; and what does not end them.
#include "examples/failing_call.h"
#include "examples/filter.h"
#include "examples/program.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

namespace {

using baton_test::client;
using baton_test::fail_always;
using baton_test::filter;
using baton_test::program;

struct call {
  std::string name;
  std::vector<std::string> arguments;
};

std::string text_of(const call& c) {
  std::string text = c.name;
  for (const auto& a : c.arguments) text += " " + a;
  return text;
}

bool is_http(const std::string& name) { return name == "http_server" || name == "static_files" || name == "ws_chat"; }

// Returns the servers. Each is told to listen on that address.
std::vector<call> servers_on(const std::string& host, const std::string& port) {
  std::vector<call> all = {{"echo_server", {host + ":" + port}}, {"chat", {host + ":" + port}}};
  if (host != "127.0.0.1") return all;
  for (const char* const name : {"http_server", "static_files", "ws_chat"}) all.push_back({name, {"--port", port}});
  return all;
}

// Checks that the program prints one line that says why it ends.
void expect_end(const call& c, int code, const std::vector<std::string>& words,
                const std::function<void()>& prepare = {}) {
  filter p(c.name, c.arguments, prepare);
  p.close_input();
  const std::string said = p.rest();
  EXPECT_EQ(p.wait(), code) << text_of(c) << "\n" << said;
  for (const auto& word : words) EXPECT_NE(said.find(word), std::string::npos) << text_of(c) << "\n" << said;
}

TEST(Ends, CalledWrongly) {
  for (const call& c : std::vector<call>{
           {"echo_server", {"--help"}},
           {"echo_server", {"127.0.0.1:0", "more"}},
           {"udp_echo", {"-v"}},
           {"udp_echo", {"127.0.0.1:0", "239.1.1.1", "lo", "more"}},
           {"unix_echo", {"--help"}},
           {"unix_echo", {"/tmp/a", "/tmp/b"}},
           {"chat", {"-v"}},
           {"chat", {"127.0.0.1:0", "never"}},
           {"chat", {"127.0.0.1:0", "skip", "more"}},
           {"c_callbacks", {"-v"}},
           {"c_callbacks", {"/tmp", "/tmp"}},
           {"thread_affine", {"0"}},
           {"thread_affine", {"4", "4x"}},
           {"fan_out", {"4x"}},
           {"fan_out", {""}},
           {"fan_out", {"-1"}},
           {"fan_out", {"4", "0", "0"}},
           {"fan_out", {"99999999999999999999"}},
           {"pipeline", {"4x"}},
           {"pipeline", {"0"}},
           {"pipeline", {"1", "2"}},
           {"http_server", {"--port", "99999"}},
           {"http_server", {"--port", "4x"}},
           {"http_server", {"--port"}},
           {"http_server", {"--procs", "0"}},
           {"http_server", {"--bogus", "1"}},
           {"static_files", {"--root"}},
           {"static_files", {"--tls", "cert.pem"}},
           {"ws_chat", {"--root", "."}},
       }) {
    expect_end(c, 2, {c.name, is_http(c.name) ? "bad argument" : "usage"});
  }
}

TEST(Ends, AddressesThatAreNone) {
  for (const std::string port : {"99999", "-1", "", "4x"}) {
    for (const char* const name : {"echo_server", "chat", "udp_echo"}) {
      expect_end({name, {"127.0.0.1:" + port}}, 1, {std::string(name) + ": ", port});
    }
  }
  expect_end({"echo_server", {"nonsense"}}, 1, {"echo_server: ", "nonsense"});
  expect_end({"unix_echo", {"/nowhere/at/all"}}, 1, {"unix_echo: ", "/nowhere/at/all", "No such file"});
  expect_end({"unix_echo", {std::string(200, 'x')}}, 1, {"unix_echo: ", "too long"});
  expect_end({"udp_echo", {"127.0.0.1:0", "127.0.0.1"}}, 1, {"udp_echo: ", "not a multicast address"});
  expect_end({"udp_echo", {"127.0.0.1:0", "239.1.1.1", "no-such-one"}}, 1, {"udp_echo: ", "no-such-one"});
  for (const char* const name : {"http_server", "static_files"}) {
    expect_end({name, {"--root", "/nowhere"}}, 1, {std::string(name) + ": ", "/nowhere", "No such file"});
  }
}

TEST(Ends, AddressInUse) {
  program first("echo_server", {"127.0.0.1:0"});
  const std::string port = std::to_string(first.port());
  for (const call& c : servers_on("127.0.0.1", port)) {
    expect_end(c, 1, {c.name + ": ", "127.0.0.1:" + port, "Address already in use"});
  }
}

TEST(Ends, AcceptFails) {
  for (const call& c : servers_on("127.0.0.1", "0")) {
    expect_end(c, 1, {c.name + ": ", "accept 127.0.0.1:", "Invalid argument"},
               [] { fail_always(SYS_accept4, EINVAL); });
  }
  expect_end({"fan_out", {"2", "0", "2", "100", "100"}}, 1, {"fan_out: ", "accept 127.0.0.1:", "Invalid argument"},
             [] { fail_always(SYS_accept4, EINVAL); });
}

TEST(Ends, OnSignals) {
  for (const int signal : {SIGINT, SIGTERM}) {
    for (const call& c : servers_on("127.0.0.1", "0")) {
      program p(c.name, c.arguments);
      client open(p.port());
      client gone(p.port());
      gone.reset();
      p.signal(signal);
      open.half_close();
      EXPECT_EQ(p.wait(), 0) << text_of(c);
    }
  }
}

// With descriptors 0 and 2 closed the first sockets could become those.
TEST(Ends, NotForClosedStandardDescriptors) {
  for (const call& c : servers_on("127.0.0.1", "0")) {
    program p(c.name, c.arguments, [] {
      ::close(STDIN_FILENO);
      ::close(STDERR_FILENO);
    });
    client peer(p.port());
    peer.send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_NE(peer.receive_line(), "") << text_of(c);
    p.terminate();
    peer.half_close();
    EXPECT_EQ(p.wait(), 0) << text_of(c);
  }
}

TEST(Ends, NotForClientsThatVanish) {
  program p("echo_server", {"127.0.0.1:0"});
  for (int i = 0; i < 50; ++i) {
    client resets(p.port());
    resets.send(std::string(100'000, 'x'));
    resets.reset();
    client leaves(p.port());
    leaves.send("half");
    leaves.half_close();
    EXPECT_EQ(leaves.rest(), "half");
    EXPECT_TRUE(leaves.ended_in_order());
  }
  p.terminate();
  EXPECT_EQ(p.wait(), 0);
}

// Connections that find no descriptor wait until there is one.
TEST(Ends, NotForWantOfDescriptors) {
  program p("echo_server", {"127.0.0.1:0"});
  const rlimit few{24, 24};
  ASSERT_EQ(::prlimit(p.pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  std::vector<client> all;
  for (int i = 0; i < 60; ++i) {
    all.emplace_back(p.port());
    all.back().send("ping");
  }
  for (client& c : all) {
    EXPECT_EQ(c.receive_exactly(4), "ping");
    c.reset();
  }
  p.terminate();
  EXPECT_EQ(p.wait(), 0);
}

TEST(Ends, WhenItsOutputCannotBeWritten) {
  const auto full = [] {
    const int fd = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    ::dup2(fd, STDOUT_FILENO);
  };
  expect_end({"fan_out", {"2", "0"}}, 1, {"fan_out: ", "write stdout"}, full);
  expect_end({"c_callbacks", {}}, 1, {"c_callbacks: ", "write stdout"}, full);
  expect_end({"thread_affine", {"2", "5"}}, 1, {"thread_affine: ", "write stdout"}, full);
  filter p("pipeline", {}, full);
  p.write("12\n");
  EXPECT_NE(p.rest().find("write stdout: No space left on device"), std::string::npos);
  EXPECT_EQ(p.wait(), 1);
}

}  // namespace
