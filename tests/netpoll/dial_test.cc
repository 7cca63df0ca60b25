#include "net_test_support.h"

#include <baton/syscall/blocking.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

// A port at which nobody listens: held by a bound socket that does not listen.
class dead_port {
 public:
  dead_port() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage sa;
    socklen_t size = address::parse("127.0.0.1:0")->to_sockaddr(sa);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&sa), size), 0);
    size = sizeof sa;
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&sa), &size), 0);
    where_ = address::from_sockaddr(reinterpret_cast<sockaddr*>(&sa), size);
  }
  ~dead_port() { ::close(fd_); }
  [[nodiscard]] int number() const { return fd_; }
  [[nodiscard]] std::string where() const { return where_.to_string(); }

 private:
  int fd_;
  address where_;
};

// A listener whose backlog is full: further connections hang in SYN_SENT.
class full_listener {
 public:
  full_listener() {
    ::listen(port_.number(), 0);
    for (int i = 0; i < 8; ++i) {
      sockaddr_storage sa;
      const socklen_t size = address::parse(port_.where())->to_sockaddr(sa);
      fillers_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      (void)::connect(fillers_.back(), reinterpret_cast<sockaddr*>(&sa), size);
    }
  }
  ~full_listener() {
    for (int fd : fillers_) ::close(fd);
  }
  [[nodiscard]] std::string where() const { return port_.where(); }

 private:
  dead_port port_;
  std::vector<int> fillers_;
};

TEST(Dial, Refused) {
  run([] {
    const dead_port nobody;
    const absl::Status s = dial(nobody.where()).status();
    EXPECT_EQ(errno_of(s), ECONNREFUSED) << s;
    EXPECT_NE(s.message().find("dial " + nobody.where()), absl::string_view::npos) << s;
  });
}

TEST(Dial, TimesOut) {
  run([] {
    const full_listener l;
    const auto begin = clock::now();
    const absl::Status s = dial(l.where(), {.timeout = 50ms}).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kDeadlineExceeded) << s;
    EXPECT_GE(clock::now() - begin, 50ms);
    EXPECT_EQ(dial(l.where(), {.timeout = 0s}).status().code(), absl::StatusCode::kDeadlineExceeded);
  });
}

TEST(Dial, ByName) {
  run([] {
    tcp_listener l = listen();
    tcp_stream client =
        must(dial("localhost:" + std::to_string(l.local_address().port()), {.timeout = std::chrono::hours::max()}));
    tcp_stream server = must(l.accept());
    must(client.write("x"));
    char one;
    EXPECT_EQ(must(server.read({&one, 1})), 1u);
  });
}

TEST(Dial, FromAChosenAddress) {
  run([] {
    tcp_listener l = listen();
    tcp_stream client = must(dial(l.local_address().to_string(), {.local = "127.0.0.2:0"}));
    tcp_stream server = must(l.accept());
    EXPECT_EQ(server.remote_address().with_port(0).to_string(), "127.0.0.2:0");
  });
}

TEST(Dial, WhatIsNoAddress) {
  run([] {
    EXPECT_EQ(dial("127.0.0.1").status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(dial("127.0.0.1:99999").status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(dial("no-such-host.invalid:80").ok());
    EXPECT_EQ(tcp_listener::bind("127.0.0.1").status().code(), absl::StatusCode::kInvalidArgument);
  });
}

TEST(Dial, IPv6) {
  run([] {
    absl::StatusOr<tcp_listener> l = tcp_listener::bind("[::1]:0");
    if (!l.ok()) GTEST_SKIP() << l.status();
    connection c = connect(*l);
    EXPECT_EQ(c.client.remote_address(), c.server.local_address());
    EXPECT_EQ(c.client.remote_address().kind(), address::family::ipv6);
  });
}

TEST(Bind, InUse) {
  run([] {
    tcp_listener l = listen();
    const absl::Status s = tcp_listener::bind(l.local_address().to_string()).status();
    EXPECT_EQ(errno_of(s), EADDRINUSE) << s;
    tcp_listener a = listen("127.0.0.1:0", {.reuse_port = true});
    tcp_listener b = listen(a.local_address().to_string(), {.reuse_port = true});
  });
}

TEST(Resolve, NumbersAndNames) {
  run([] {
    EXPECT_EQ(must(resolve("127.0.0.1", {.port = 7})).at(0).to_string(), "127.0.0.1:7");
    EXPECT_EQ(must(resolve("::1")).at(0).to_string(), "[::1]:0");
    const std::vector<address> local = must(resolve("localhost", {.port = 80}));
    for (const address& a : local) EXPECT_EQ(a.port(), 80);
    for (const address& a : must(resolve("localhost", {.family = address::family::ipv4}))) {
      EXPECT_EQ(a.kind(), address::family::ipv4);
    }
    EXPECT_EQ(resolve("127.0.0.1", {.family = address::family::ipv6}).status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(resolve("").status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(resolve("127.0.0.1", {.port = 65536}).ok(), false);
  });
}

// All descriptor numbers are used up; accept() waits until one is free again. In a process of its own,
// for nobody else can open anything meanwhile.
TEST(AcceptDeathTest, SurvivesTheLackOfDescriptors) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        int failures = 0;
        run([&] {
          tcp_listener l = listen();
          tcp_stream client = must(dial(l.local_address().to_string()));
          rlimit limit{};
          ::getrlimit(RLIMIT_NOFILE, &limit);
          limit.rlim_cur = 200;
          ::setrlimit(RLIMIT_NOFILE, &limit);
          std::vector<int> fillers;
          for (int fd; (fd = ::dup(0)) >= 0;) fillers.push_back(fd);

          l.set_deadline(clock::now() + 30ms);  // honoured while descriptors are short
          if (l.accept().status().code() != absl::StatusCode::kDeadlineExceeded) ++failures;
          l.set_deadline(clock::time_point::max());

          auto acceptor = spawn([&] { return l.accept(); });
          until_reader_waits(l);  // in its pause
          for (int fd : fillers) ::close(fd);
          absl::StatusOr<tcp_stream> server = acceptor.join();
          if (!server.ok() || !server->write("x").ok()) ++failures;
          char one;
          if (!client.read({&one, 1}).ok()) ++failures;

          // And close() ends a pause.
          fillers.clear();
          tcp_stream second = must(dial(l.local_address().to_string()));
          for (int fd; (fd = ::dup(0)) >= 0;) fillers.push_back(fd);
          auto last = spawn([&] { return l.accept().status(); });
          until_reader_waits(l);
          l.close();
          if (last.join().code() != absl::StatusCode::kCancelled) ++failures;
        });
        _exit(failures);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace baton::net::test
