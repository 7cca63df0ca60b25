// http_client against servers of the test's own, which answer what a test wants, and count.
#include "examples/filter.h"
#include "examples/program.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using baton_test::filter;

// Answers each request, whose target it gets and the number of requests before it on that connection. An empty answer
// closes the connection; "hang" waits until the client closes it.
class scripted_server {
 public:
  using answerer = std::function<std::string(const std::string& target, int before)>;

  explicit scripted_server(answerer answer)
      : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    EXPECT_EQ(::listen(listener_, 100), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &size);
    port_ = ntohs(a.sin_port);
    accepts_ = std::thread([this] { accept_all(); });
  }
  ~scripted_server() {
    ::shutdown(listener_, SHUT_RDWR);
    accepts_.join();
    for (auto& t : serves_) t.join();
    ::close(listener_);
  }
  scripted_server(const scripted_server&) = delete;
  scripted_server& operator=(const scripted_server&) = delete;

  [[nodiscard]] std::string url(const std::string& target) const {
    return "http://127.0.0.1:" + std::to_string(port_) + target;
  }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++connections_;
      serves_.emplace_back([this, fd] {
        serve(fd);
        ::close(fd);
      });
    }
  }
  void serve(int fd) {
    std::string bytes;
    for (int before = 0;; ++before) {
      while (bytes.find("\r\n\r\n") == std::string::npos) {
        char buffer[4096];
        const ssize_t n = ::read(fd, buffer, sizeof buffer);
        if (n <= 0) return;
        bytes.append(buffer, static_cast<std::size_t>(n));
      }
      const std::size_t begin = bytes.find(' ') + 1;
      const std::string target = bytes.substr(begin, bytes.find(' ', begin) - begin);
      bytes.erase(0, bytes.find("\r\n\r\n") + 4);
      std::string answer = answer_(target, before);
      if (answer.empty()) return;
      if (answer == "hang") continue;  // the next read waits for the end
      const bool is_last = answer.find("Connection: close") != std::string::npos;
      if (::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0 || is_last) return;
    }
  }

  const answerer answer_;
  const int listener_;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::vector<std::thread> serves_;  // the accepting thread's, then the destructor's
  std::thread accepts_;
};

std::string ok(const std::string& body, const std::string& fields = {}) {
  return "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string redirect(const std::string& to, int status = 302) {
  return "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: 0\r\nLocation: " + to + "\r\n\r\n";
}

struct outcome {
  int code = 0;
  std::string text;
};

outcome run(const std::vector<std::string>& arguments) {
  filter p("http_client", arguments);
  p.close_input();
  outcome o;
  o.text = p.rest();
  o.code = p.wait();
  return o;
}

TEST(HttpClient, FetchesManyInTheirOrderWithFewConnections) {
  scripted_server s([](const std::string& target, int) { return ok("body of " + target); });
  std::vector<std::string> arguments = {"--at-once", "10", "--per-server", "3"};
  std::string wanted;
  for (int i = 0; i < 100; ++i) {
    arguments.push_back(s.url("/" + std::to_string(i)));
    wanted += "200 " + std::to_string(9 + std::to_string(i).size()) + " " + arguments.back() + "\n";
  }
  const outcome o = run(arguments);
  EXPECT_EQ(o.text, wanted);
  EXPECT_EQ(o.code, 0);
  EXPECT_LE(s.connections(), 3) << "they are used again";
}

TEST(HttpClient, FollowsRedirects) {
  scripted_server other([](const std::string& target, int) { return ok("other " + target); });
  scripted_server s([&](const std::string& target, int) {
    if (target == "/a/b?q") return redirect("../c/./d");
    if (target == "/c/d") return redirect("?e");
    if (target == "/c/d?e") return redirect("/f#fragment", 308);
    if (target == "/f") return redirect(other.url("/g"), 301);
    if (target == "/loop") return redirect("/loop");
    if (target == "/odd") return redirect("ftp://x/");
    return ok("end");
  });
  EXPECT_EQ(run({s.url("/a/b?q")}).text, "200 8 " + other.url("/g") + "\n");
  const outcome loop = run({s.url("/loop"), s.url("/x"), s.url("/odd")});
  EXPECT_EQ(loop.code, 1);
  EXPECT_NE(loop.text.find("too many redirects"), std::string::npos) << loop.text;
  EXPECT_NE(loop.text.find("redirects to ftp://x/"), std::string::npos) << loop.text;
  EXPECT_NE(loop.text.find("200 3 " + s.url("/x")), std::string::npos) << "the others are fetched";
}

// A server may close a connection just when it is used again.
TEST(HttpClient, AsksAgainOnAFreshConnection) {
  scripted_server s([](const std::string&, int before) { return before == 1 ? "" : ok("x"); });
  const outcome o = run({"--at-once", "1", s.url("/1"), s.url("/2"), s.url("/3")});
  EXPECT_EQ(o.code, 0) << o.text;
  EXPECT_EQ(s.connections(), 3);
  scripted_server never([](const std::string&, int) { return ""; });
  const outcome refused = run({never.url("/")});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(never.connections(), 1) << "a fresh connection is not tried again";
}

TEST(HttpClient, ReadsWhatServersSend) {
  scripted_server s([](const std::string& target, int) -> std::string {
    if (target == "/chunked")
      return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
    if (target == "/end") return "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nto the end";
    if (target == "/interim") return "HTTP/1.1 103 x\r\nLink: a\r\n\r\n" + ok("after");
    if (target == "/none") return "HTTP/1.1 204 x\r\n\r\n";
    if (target == "/cut") return "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nabc";
    if (target == "/bad") return "HTTP/1.1 2x0 OK\r\nConnection: close\r\n\r\n";
    return "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab";
  });
  const std::string interim_and_more = s.url("/interim");
  EXPECT_EQ(run({"--at-once", "1", "--body", s.url("/chunked"), s.url("/end"), interim_and_more, s.url("/none")}).text,
            "abcdeto the endafter");
  for (const char* const broken : {"/cut", "/bad", "/lengths"}) {
    const outcome o = run({s.url(broken)});
    EXPECT_EQ(o.code, 1) << broken << o.text;
    EXPECT_EQ(o.text.find("http_client: "), 0U) << o.text;
  }
}

TEST(HttpClient, EndsInTimeAndOnASignal) {
  scripted_server s([](const std::string&, int) { return "hang"; });
  const outcome late = run({"--timeout-ms", "100", s.url("/")});
  EXPECT_EQ(late.code, 1);
  EXPECT_NE(late.text.find("DEADLINE_EXCEEDED"), std::string::npos) << late.text;
  filter p("http_client", {"--at-once", "2", s.url("/1"), s.url("/2"), s.url("/3"), s.url("/4")});
  while (s.connections() < 3) std::this_thread::yield();  // with the one before: its requests are under way
  p.signal(SIGTERM);
  p.close_input();
  p.rest();
  EXPECT_EQ(p.wait(), 1);
}

TEST(HttpClient, RefusesWhatIsNoUrl) {
  for (const char* const bad :
       {"x", "ftp://x/", "http:///", "http://me@x/", "http://x:99999/", "http://[::1/", "http://a b/"}) {
    const outcome o = run({bad});
    EXPECT_EQ(o.code, 1) << bad;
    EXPECT_NE(o.text.find("no URL"), std::string::npos) << o.text;
  }
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"--at-once", "0", "http://x/"}).code, 2);
}

}  // namespace
