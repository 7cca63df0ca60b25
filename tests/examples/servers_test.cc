// The example servers, from outside.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <filesystem>
#include <fstream>
#include <thread>

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
  std::vector<std::string> arguments(const std::string& header_timeout = "20000") {
    return {"--port", "0", "--procs", procs(), "--root", root_.string(), "--header-timeout-ms", header_timeout};
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
  EXPECT_EQ(status_of("BREW / HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
  EXPECT_EQ(status_of("complete nonsense\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nNo colon here\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/9.9\r\nHost: x\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nX: " + std::string(10'000, 'a') + "\r\n\r\n"), 431);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"), 413);
}

TEST_F(HttpServer, EndsHalfOpenPeers) {
  program server("http_server", arguments("200"));
  client silent(server.port());
  EXPECT_EQ(silent.rest(), "") << "closed without a word";
  client half(server.port());
  half.send("GET / HTTP/1.1\r\nHost:");
  EXPECT_EQ(half.receive().status, 408);
  EXPECT_EQ(half.rest(), "");
  client gone(server.port());
  gone.half_close();
  EXPECT_EQ(gone.rest(), "");
}

TEST_F(HttpServer, OthersRunWhileAThreadIsBlocked) {
  program server("http_server", {"--port", "0", "--procs", "1", "--root", root_.string()});
  client sleeper(server.port());
  client other(server.port());
  sleeper.send("GET /sleep?ms=10000 HTTP/1.1\r\nHost: x\r\n\r\n");
  // Answered long before the sleeper, which would otherwise have the only P.
  for (int i = 0; i < 50; ++i) ASSERT_EQ(other.get("/").status, 200);
  const std::string stats = other.get("/stats").body;
  EXPECT_NE(stats.find("\nsleeps 0\n"), std::string::npos) << stats;
}

TEST_F(HttpServer, DrainsOnSigterm) {
  program server("http_server", arguments());
  client sleeper(server.port());
  client idle(server.port());
  ASSERT_EQ(idle.get("/").status, 200);
  sleeper.send("GET /sleep?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n");
  // The sleeper's request is under way once the server has counted one more than ours.
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

TEST(EchoServer, TenThousandConnectionsOnFewThreads) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // the server inherits it
  const std::size_t n = std::min<std::size_t>(10'000, limit.rlim_max - 200);
  if (n < 10'000) std::printf("only %zu connections: the hard limit of descriptors allows no more\n", n);
  ::setenv("BATON_PROCS", "2", 1);
  program server("echo_server", {"127.0.0.1:0"});
  std::vector<client> clients;
  for (std::size_t i = 0; i < n; ++i) clients.emplace_back(server.port());
  for (int round = 0; round < 2; ++round) {
    for (auto& c : clients) c.send("ping");
    for (auto& c : clients) ASSERT_EQ(c.receive_exactly(4), "ping");
  }
  const auto threads =
      std::distance(std::filesystem::directory_iterator("/proc/" + std::to_string(server.pid()) + "/task"), {});
  EXPECT_LT(threads, 10);
}

}  // namespace
