// The example servers, tested from outside.
#include "examples/failing_call.h"
#include "examples/program.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using baton_test::client;
using baton_test::program;

std::string procs() {
  const char* const p = std::getenv("BATON_PROCS");
  return p != nullptr ? p : "2";
}

class HttpServer : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("baton-http-" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_ / "sub");
    std::ofstream(root_ / "small.txt") << "small";
    std::ofstream(root_ / "sub" / "big.bin") << std::string(1 << 20, 'b');
    std::filesystem::create_symlink("/etc/passwd", root_ / "way-out");
    std::filesystem::create_symlink("sub/big.bin", root_ / "way-in");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  // The timeouts are long unless a test is about one; then `more` sets it.
  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) {
    std::vector<std::string> all = {"--port", "0", "--procs", procs(), "--root", root_.string(), "--header-timeout-ms",
                                    "20000"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::filesystem::path root_;
};

TEST_F(HttpServer, AnswersManyRequestsOnOneConnection) {
  program server("http_server", arguments());
  client c(server.port());
  for (int i = 0; i < 100; ++i) {
    const auto r = c.get("/");
    ASSERT_EQ(r.status, 200);
    ASSERT_EQ(r.body, "Hello from a fiber\n");
  }
  EXPECT_EQ(c.get("/nothing-here").status, 404);
}

TEST_F(HttpServer, AnswersPipelinedRequestsInOrder) {
  program server("http_server", arguments());
  client c(server.port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += i % 3 == 0   ? "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
           : i % 3 == 1 ? "GET /file?path=small.txt HTTP/1.1\r\nHost: x\r\n\r\n"
                        : "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
  }
  c.send(all);
  for (int i = 0; i < 50; ++i) {
    const auto r = c.receive(i % 3 == 2);
    ASSERT_EQ(r.status, 200) << i;
    ASSERT_EQ(r.body, i % 3 == 0 ? "Hello from a fiber\n" : i % 3 == 1 ? "small" : "") << i;
  }
}

TEST_F(HttpServer, ClosesWhenAsked) {
  program server("http_server", arguments());
  client c(server.port());
  c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const auto r = c.receive();
  EXPECT_EQ(r.status, 200);
  EXPECT_NE(r.header.find("Connection: close"), std::string::npos);
  EXPECT_EQ(c.rest(), "");
}

TEST_F(HttpServer, ServesFilesBelowItsRootOnly) {
  program server("http_server", arguments());
  client c(server.port());
  EXPECT_EQ(c.get("/file?path=small.txt").body, "small");
  EXPECT_EQ(c.get("/file?path=sub/big.bin").body, std::string(1 << 20, 'b'));
  EXPECT_EQ(c.get("/file?path=sub%2Fbig.bin").status, 200);
  EXPECT_EQ(c.get("/file?path=way-in").status, 200);
  EXPECT_EQ(c.get("/file?path=missing").status, 404);
  for (const char* escape : {"../x", "sub/../../x", "%2e%2e/x", "/etc/passwd", "way-out", "%2Fetc%2Fpasswd"}) {
    EXPECT_EQ(c.get(std::string("/file?path=") + escape).status, 403) << escape;
  }
  EXPECT_EQ(c.get("/file?path=sub").status, 403) << "a directory";
  for (const char* bad : {"/file", "/file?path=", "/file?path=%zz", "/file?path=a%00b", "/sleep", "/sleep?ms=-1",
                          "/sleep?ms=99999999", "/sleep?ms=1x"}) {
    EXPECT_EQ(c.get(bad).status, 400) << bad;
  }
}

TEST_F(HttpServer, RefusesBadInputWithTheRightStatus) {
  program server("http_server", arguments());
  const auto status_of = [&](const std::string& text) {
    client c(server.port());
    c.send(text);
    return c.receive().status;
  };
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"), 405);
  EXPECT_EQ(status_of("BREW / HTTP/1.1\r\nHost: x\r\n\r\n"), 501);
  EXPECT_EQ(status_of("complete nonsense\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nNo colon here\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/9.9\r\nHost: x\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nX: " + std::string(10'000, 'a') + "\r\n\r\n"), 431);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"), 413);
}

TEST_F(HttpServer, EndsHalfOpenPeers) {
  program server("http_server", arguments({"--header-timeout-ms", "200"}));
  client silent(server.port());
  EXPECT_EQ(silent.rest(), "") << "closed without a word";
  client half(server.port());
  half.send("GET / HTTP/1.1\r\nHost:");
  EXPECT_EQ(half.receive().status, 408);
  EXPECT_EQ(half.rest(), "");
  client gone(server.port());
  gone.half_close();
  EXPECT_EQ(gone.rest(), "");
  client cut(server.port());
  cut.send("GET / HTTP/1.1\r\nHost:");
  cut.half_close();
  EXPECT_EQ(cut.receive().status, 400);
}

// The refusal must not be lost to a reset because much of the request is still unread.
TEST_F(HttpServer, RefusalsReachAPeerThatStillSends) {
  program server("http_server", arguments());
  for (int i = 0; i < 10; ++i) {
    client c(server.port());
    c.send("GET / HTTP/1.1\r\nX: " + std::string(200'000, 'a'));
    ASSERT_EQ(c.receive().status, 431) << i;
    c.rest();
    ASSERT_TRUE(c.ended_in_order()) << i;
  }
}

TEST_F(HttpServer, ReadsAndForgetsBodies) {
  program server("http_server", arguments());
  client c(server.port());
  c.send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + std::string(500'000, 'b'));
  EXPECT_EQ(c.receive().status, 200);
  c.send("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_EQ(c.get("/").status, 200) << "the body was not taken for a request";
}

TEST_F(HttpServer, AnswersHeadWithoutABodyAlsoWhenItIsAnError) {
  program server("http_server", arguments());
  client c(server.port());
  c.send("HEAD /nothing-here HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(c.receive(true).status, 404);
  EXPECT_EQ(c.get("/").body, "Hello from a fiber\n");
}

TEST_F(HttpServer, ConfirmsKeepAliveToOldClientsAndTakesAbsoluteTargets) {
  program server("http_server", arguments());
  client c(server.port());
  c.send("GET http://x/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto r = c.receive();
  EXPECT_EQ(r.status, 200);
  EXPECT_NE(r.header.find("Connection: keep-alive\r\n"), std::string::npos) << r.header;
  EXPECT_EQ(c.get("/").status, 200);
}

// Idle means since the last request, not since the first.
TEST_F(HttpServer, KeepsAConnectionThatIsUsedAndEndsOneThatIsNot) {
  program server("http_server", arguments({"--idle-timeout-ms", "400"}));
  client c(server.port());
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(1200)) {
    ASSERT_EQ(c.get("/").status, 200);
  }
  EXPECT_EQ(c.rest(), "");
  EXPECT_TRUE(c.ended_in_order());
}

TEST_F(HttpServer, EmptyLinesDoNotKeepAConnection) {
  program server("http_server", arguments({"--idle-timeout-ms", "300"}));
  client c(server.port());
  ASSERT_EQ(c.get("/").status, 200);
  std::atomic<bool> closed{false};
  std::thread sender([&] {
    while (!closed) {
      c.send("\r\n");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // how the client behaves
    }
  });
  EXPECT_EQ(c.rest(), "");
  closed = true;
  sender.join();
}

// The server must not collect responses that a peer asks for and does not read.
TEST_F(HttpServer, PeerThatDoesNotReadCostsLittleAndIsEnded) {
  program server("http_server", arguments({"--write-timeout-ms", "500"}));
  client greedy(server.port(), 4096);
  std::string all;
  for (int i = 0; i < 300; ++i) all += "GET /file?path=sub/big.bin HTTP/1.1\r\nHost: x\r\n\r\n";
  greedy.send(all);
  client other(server.port());
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (other.get("/stats").body.find("\nconnections 1\n") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "the write timeout did not end it";
  }
  std::ifstream status("/proc/" + std::to_string(server.pid()) + "/status");
  long peak_kb = 0;
  for (std::string line; std::getline(status, line);) std::sscanf(line.c_str(), "VmHWM: %ld", &peak_kb);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(peak_kb, 64 * 1024) << "of 300 MB asked for";
#endif
  EXPECT_GT(peak_kb, 0);
}

// Connections that end at any point leave nothing behind.
TEST_F(HttpServer, ClientsThatVanishAreForgotten) {
  program server("http_server", arguments());
  for (int i = 0; i < 20; ++i) {
    for (const char* const bytes :
         {"", "\r\n", "GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
          "GET /file?path=sub/big.bin HTTP/1.1\r\nHost: x\r\n\r\n",
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na",
          "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"}) {
      client c(server.port());
      c.send(bytes);
      c.reset();
    }
  }
  client other(server.port());
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (other.get("/stats").body.find("\nconnections 1\n") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "some are left";
  }
}

TEST_F(HttpServer, OthersRunWhileAThreadIsBlocked) {
  program server("http_server", {"--port", "0", "--procs", "1", "--root", root_.string()});
  client sleeper(server.port());
  client other(server.port());
  sleeper.send("GET /sleep?ms=10000 HTTP/1.1\r\nHost: x\r\n\r\n");
  // Answered long before the request that sleeps, which would otherwise have the only P.
  for (int i = 0; i < 50; ++i) ASSERT_EQ(other.get("/").status, 200);
  const std::string stats = other.get("/stats").body;
  EXPECT_NE(stats.find("\nsleeps 0\n"), std::string::npos) << stats;
}

// Only requests that the gate lets through have threads; the others wait without one.
TEST_F(HttpServer, SleepersThatWaitCostNoThread) {
  program server("http_server", {"--port", "0", "--procs", "1", "--root", root_.string(), "--sleeps-at-once", "4"});
  std::vector<client> sleepers;
  for (int i = 0; i < 60; ++i) {
    sleepers.emplace_back(server.port());
    sleepers.back().send("GET /sleep?ms=20 HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  client other(server.port());
  EXPECT_EQ(other.get("/").status, 200);
  std::ptrdiff_t most = 0;
  for (client& c : sleepers) {
    most = std::max(
        most,
        std::distance(std::filesystem::directory_iterator("/proc/" + std::to_string(server.pid()) + "/task"), {}));
    EXPECT_EQ(c.receive().status, 200);
  }
  EXPECT_LT(most, 20);
}

// openat2 gives EAGAIN when something is renamed while it walks along a "..", and expects another call.
TEST_F(HttpServer, OpensAFileAgainWhenItIsToldTo) {
  program server("http_server", arguments(), [] { baton_test::ask_about_or_exit(SYS_openat2); });
  const baton_test::asked_calls opens(server.pid());
  if (!opens.work()) GTEST_SKIP() << "the system does not let a test decide on calls";
  client c(server.port());
  c.send("GET /file?path=small.txt HTTP/1.1\r\nHost: x\r\n\r\n");
  for (const int error : {EAGAIN, EINTR, EAGAIN, 0}) ASSERT_TRUE(opens.answer(error));
  EXPECT_EQ(c.receive().body, "small");
  c.send("GET /file?path=small.txt HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(opens.answer(EMFILE));
  EXPECT_EQ(c.receive().status, 503);
}

TEST_F(HttpServer, GivesUpOpeningInTheEnd) {
  program server("http_server", arguments(), [] { baton_test::fail_always(SYS_openat2, EAGAIN); });
  client c(server.port());
  EXPECT_EQ(c.get("/file?path=small.txt").status, 503);
  EXPECT_EQ(c.get("/").status, 200);
}

TEST_F(HttpServer, DrainsOnSigterm) {
  program server("http_server", arguments());
  client sleeper(server.port());
  client idle(server.port());
  ASSERT_EQ(idle.get("/").status, 200);
  sleeper.send("GET /sleep?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n");
  // The request that sleeps is under way once the server has counted one more than the test's own.
  for (int ours = 2;; ++ours) {
    const std::string stats = idle.get("/stats").body;
    if (stats.find("\nrequests " + std::to_string(ours + 1) + "\n") != std::string::npos) break;
    ASSERT_NE(stats.find("\nrequests " + std::to_string(ours) + "\n"), std::string::npos) << stats;
  }
  server.terminate();
  EXPECT_EQ(sleeper.receive().status, 200) << "a request under way is answered";
  EXPECT_EQ(idle.rest(), "") << "an idle connection is closed";
  EXPECT_EQ(server.wait(), 0);
  EXPECT_NE(server.text().find("drained"), std::string::npos) << server.text();
}

// What uses the server while it stops must not outlive it. There are many stops, because a failure needs bad luck.
TEST_F(HttpServer, StopsCleanlyUnderLoad) {
  for (int round = 0; round < 20; ++round) {
    program server("http_server", arguments());
    std::vector<std::thread> peers;
    for (int i = 0; i < 8; ++i) {
      peers.emplace_back([&server, i] {
        try {
          client c(server.port());
          while (c.get(i % 2 == 0 ? "/" : "/sleep?ms=1").status == 200) {
          }
        } catch (const std::runtime_error&) {  // the server had stopped already
        }
      });
    }
    client c(server.port());
    ASSERT_EQ(c.get("/").status, 200);
    server.terminate();
    ASSERT_EQ(server.wait(), 0) << round;
    for (auto& t : peers) t.join();
  }
}

TEST_F(HttpServer, DrainTimeoutCutsWhatTakesTooLong) {
  program server("http_server", arguments({"--drain-timeout-ms", "100"}));
  client sleeper(server.port());
  client other(server.port());
  sleeper.send("GET /sleep?ms=10000 HTTP/1.1\r\nHost: x\r\n\r\n");
  for (int ours = 1;; ++ours) {
    const std::string stats = other.get("/stats").body;
    if (stats.find("\nrequests " + std::to_string(ours + 1) + "\n") != std::string::npos) break;
    ASSERT_NE(stats.find("\nrequests " + std::to_string(ours) + "\n"), std::string::npos) << stats;
  }
  const auto begin = std::chrono::steady_clock::now();
  server.terminate();
  EXPECT_EQ(server.wait(), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_NE(server.text().find("1 connections cut off"), std::string::npos) << server.text();
}

// Every line is a name and a value, and the counters of handoffs are among them.
TEST_F(HttpServer, StatsParse) {
  program server("http_server", arguments());
  client c(server.port());
  ASSERT_EQ(c.get("/sleep?ms=20").status, 200);
  std::istringstream lines(c.get("/stats").body);
  std::map<std::string, std::string> values;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.find(' ');
    ASSERT_NE(space, std::string::npos) << line;
    ASSERT_LT(space + 1, line.size()) << line;
    values[line.substr(0, space)] = line.substr(space + 1);
  }
  for (const char* name : {"handoffs_predicted", "handoffs_unknown", "handoffs_hinted", "retakes", "steals", "polls"}) {
    ASSERT_EQ(values.count(name), 1U) << name;
    EXPECT_EQ(values[name].find_first_not_of("0123456789"), std::string::npos) << name << " " << values[name];
  }
  EXPECT_EQ(values["sleeps"], "1");
  EXPECT_EQ(values["requests"], "2");
  EXPECT_EQ(values["procs"], procs());
}

TEST(EchoServer, EchoesAndStops) {
  program server("echo_server", {"127.0.0.1:0"});
  client c(server.port());
  const std::string text(300'000, 'e');
  std::thread sender([&] { c.send(text); });
  EXPECT_EQ(c.receive_exactly(text.size()), text);
  sender.join();
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

// Raises the limit of descriptors, for the test and the programs that it starts. Returns 10,000, or as many connections
// as the limit allows.
std::size_t many_connections() {
  constexpr std::size_t wanted = 10'000;
  constexpr rlim_t needed = wanted + 200;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 100;
  limit.rlim_cur = limit.rlim_max;
  if (limit.rlim_max < needed) {
    const rlimit raised{needed, needed};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return wanted;
    std::printf("only %llu descriptors: the hard limit cannot be raised\n",
                static_cast<unsigned long long>(limit.rlim_max));
  }
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_max >= needed ? wanted : static_cast<std::size_t>(limit.rlim_max) - 200;
}

template <class Exchange>
void hold_many_connections(const program& server, Exchange exchange) {
  const std::size_t n = many_connections();
  std::vector<client> clients;
  clients.reserve(n);
  for (std::size_t i = 0; i < n; ++i) clients.emplace_back(server.port());
  for (int round = 0; round < 2; ++round) exchange(clients);
  const auto threads =
      std::distance(std::filesystem::directory_iterator("/proc/" + std::to_string(server.pid()) + "/task"), {});
  EXPECT_LT(threads, 10);
}

TEST(EchoServer, TenThousandConnectionsOnFewThreads) {
  many_connections();  // the server inherits the limit
  const std::string before = procs();
  ::setenv("BATON_PROCS", "2", 1);
  program server("echo_server", {"127.0.0.1:0"});
  ::setenv("BATON_PROCS", before.c_str(), 1);
  hold_many_connections(server, [](std::vector<client>& clients) {
    for (auto& c : clients) c.send("ping");
    for (auto& c : clients) ASSERT_EQ(c.receive_exactly(4), "ping");
  });
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

// 10,000 clients that have sent a part of a request, and send no more, hold no thread, and the others are served.
TEST_F(HttpServer, TenThousandConnectionsOnFewThreads) {
  many_connections();
  program server("http_server",
                 {"--port", "0", "--procs", "2", "--root", root_.string(), "--header-timeout-ms", "600000"});
  hold_many_connections(server, [&](std::vector<client>& clients) {
    for (auto& c : clients) c.send("GET / HTTP/1.1\r\nHost: x\r\nX-");
    client other(server.port());
    for (int i = 0; i < 100; ++i) ASSERT_EQ(other.get("/").status, 200);
    for (auto& c : clients) c.send("Slow: loris\r\n\r\n");
    for (auto& c : clients) ASSERT_EQ(c.receive().status, 200);
  });
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

}  // namespace
