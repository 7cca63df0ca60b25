// http_server behind nginx and HAProxy, as docs/deploy.md sets them up: two processes serve, one of them is stopped
// under load, and no request fails. The proxies listen on Unix sockets, so that no port has to be guessed.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using baton_test::program;

// Another project's server. It ends with SIGTERM.
class foreign_program {
 public:
  explicit foreign_program(const std::string& command_line) : pid_(::fork()) {
    if (pid_ == 0) {
      ::execl("/bin/sh", "sh", "-c", ("exec " + command_line).c_str(), nullptr);
      ::_exit(127);
    }
  }
  ~foreign_program() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  foreign_program(const foreign_program&) = delete;
  foreign_program& operator=(const foreign_program&) = delete;

  [[nodiscard]] bool has_ended() const {
    siginfo_t about{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &about, WEXITED | WNOHANG | WNOWAIT);
    return about.si_pid != 0;
  }

 private:
  const pid_t pid_;
};

// Returns a connection to a Unix socket, or -1.
int connect_to(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  path.copy(where.sun_path, sizeof where.sun_path - 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0) return fd;
  ::close(fd);
  return -1;
}

// Asks for "/" on a connection of its own, and returns the whole answer.
std::string answer_of(const std::string& path) {
  const int fd = connect_to(path);
  if (fd < 0) return "no connection";
  constexpr std::string_view request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string all;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(n));
  ::close(fd);
  return all;
}

class BehindProxies : public testing::Test {
 protected:
  BehindProxies() { static_cast<void>(::mkdtemp(directory_)); }
  ~BehindProxies() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string at(const std::string& name) const { return std::string(directory_) + "/" + name; }

  static bool is_installed(const std::string& name) {
    return std::system(("PATH=$PATH:/usr/sbin command -v " + name + " >/dev/null").c_str()) == 0;
  }
  static std::string to(const program& p) { return "127.0.0.1:" + std::to_string(p.port()); }

  // Sends requests while the first server is stopped. `front` starts the proxy.
  template <class Front>
  void serve_while_one_stops(const Front& front) {
    program first("http_server", {"--port", "0"});
    program second("http_server", {"--port", "0"});
    const foreign_program proxy(front(to(first), to(second)));
    for (int fd = -1; fd < 0;) {
      ASSERT_FALSE(proxy.has_ended()) << log();
      fd = connect_to(at("front"));
      if (fd >= 0) ::close(fd);
    }
    std::atomic<int> answered{0};
    std::atomic<bool> over{false};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        while (!over) {
          const std::string answer = answer_of(at("front"));
          EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("Hello from a fiber\n")) << answer;
          if (testing::Test::HasFailure()) return;
          ++answered;
        }
      });
    }
    const auto wait_for_more = [&](int more) {
      const int until = answered + more;
      while (answered < until && !testing::Test::HasFailure()) ::usleep(1000);
    };
    wait_for_more(100);
    first.terminate();
    EXPECT_EQ(first.wait(), 0) << first.text();
    wait_for_more(100);
    over = true;
    for (std::thread& c : clients) c.join();
    second.terminate();
    EXPECT_EQ(second.wait(), 0) << second.text();
  }
  [[nodiscard]] std::string log() const {
    std::ifstream in(at("log"));
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  char directory_[32] = "/tmp/behind_proxies.XXXXXX";
};

TEST_F(BehindProxies, NginxPassesOverTheServerThatStops) {
  if (!is_installed("nginx")) GTEST_SKIP() << "nginx is not installed";
  serve_while_one_stops([&](const std::string& first, const std::string& second) {
    std::ofstream(at("conf"))
        << "daemon off;\nworker_processes 1;\npid " << at("pid") << ";\nerror_log " << at("log")
        << ";\nevents {}\nhttp {\n  access_log off;\n"
        << "  client_body_temp_path " << at("body") << ";\n  proxy_temp_path " << at("proxy")
        << ";\n  fastcgi_temp_path " << at("fastcgi") << ";\n  uwsgi_temp_path " << at("uwsgi")
        << ";\n  scgi_temp_path " << at("scgi") << ";\n  upstream servers {\n    server " << first << ";\n    server "
        << second << ";\n    keepalive 16;\n  }\n  server {\n    listen unix:" << at("front")
        << ";\n    location / {\n      proxy_pass http://servers;\n      proxy_http_version 1.1;\n"
        << "      proxy_set_header Connection \"\";\n    }\n  }\n}\n";
    return "env PATH=$PATH:/usr/sbin nginx -e " + at("log") + " -c " + at("conf") + " 2>>" + at("log");
  });
}

TEST_F(BehindProxies, HaproxyPassesOverTheServerThatStops) {
  if (!is_installed("haproxy")) GTEST_SKIP() << "haproxy is not installed";
  serve_while_one_stops([&](const std::string& first, const std::string& second) {
    std::ofstream(at("conf"))
        << "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
        << "  option redispatch 1\n  retries 3\n  retry-on conn-failure empty-response\n"
        << "frontend front\n  bind unix@" << at("front") << "\n  default_backend servers\n"
        << "backend servers\n  option httpchk GET /\n  server first " << first << " check inter 100ms\n  server second "
        << second << " check inter 100ms\n";
    return "env PATH=$PATH:/usr/sbin haproxy -db -f " + at("conf") + " >" + at("log") + " 2>&1";
  });
}

}  // namespace
