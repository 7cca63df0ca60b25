#include "net_test_support.h"

#include <baton/netpoll/connect.h>
#include <baton/netpoll/lookup.h>
#include <baton/netpoll/resolve.h>
#include <baton/runtime/context.h>
#include <baton/sched/platform/clock.h>
#include <baton/syscall/blocking.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

// A port on which no socket listens: held by a bound socket that does not listen.
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

// Returns the lowest number that no descriptor has.
int free_number() {
  const int fd = ::dup(0);
  ::close(fd);
  return fd;
}

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

// No reader takes for an address what from_ip() does not take.
TEST(Dial, OddNumbersAndNulsConnectToNobody) {
  run([] {
    tcp_listener l = listen();
    const std::string port = ":" + std::to_string(l.local_address().port());
    const std::string nul(1, '\0');
    for (const std::string& host :
         {std::string("0177.0.0.1"), std::string("127.1"), std::string("0x7f000001"), std::string("2130706433"),
          std::string("127.0.0.1 www.example.com"), std::string(" 127.0.0.1"), std::string("127.0.0.1."),
          std::string("[]"), std::string("[127.0.0.1]"), "127.0.0.1" + nul + ".example.com",
          "localhost" + nul + ".example.com"}) {
      EXPECT_TRUE(absl::IsInvalidArgument(dial(host + port).status())) << host;
      EXPECT_TRUE(absl::IsInvalidArgument(tcp_listener::bind(host + ":0").status())) << host;
      EXPECT_TRUE(absl::IsInvalidArgument(resolve(host).status())) << host;
    }
    for (const std::string& service : {std::string("080"), std::string("-1"), std::string("+80"), std::string("65536"),
                                       std::string(" 80"), "http" + nul + "x", port.substr(1) + nul}) {
      EXPECT_TRUE(absl::IsInvalidArgument(dial("127.0.0.1:" + service).status())) << service;
      EXPECT_TRUE(absl::IsInvalidArgument(tcp_listener::bind(":" + service).status())) << service;
    }
  });
}

TEST(Dial, AnUnknownServiceIsNamed) {
  run([] {
    const absl::Status s = dial("localhost:no-such-service").status();
    EXPECT_EQ(s.code(), absl::StatusCode::kNotFound) << s;
    EXPECT_NE(s.message().find("no-such-service"), absl::string_view::npos) << s;
    EXPECT_EQ(s.message().find("localhost"), absl::string_view::npos) << s;
  });
}

TEST(Dial, TheLocalAddressMustFit) {
  run([] {
    tcp_listener l = listen();
    const std::string to = l.local_address().to_string();
    EXPECT_TRUE(absl::IsInvalidArgument(dial(to, {.local = "[::1]:0"}).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(dial("[::1]:1", {.local = "127.0.0.1:0"}).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(dial(to, {.local = "@x"}).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(dial("localhost:80", {.local = "/x"}).status()));
    // An address that is not one of this host's. The message names that one, and does not say that anything exists
    // already.
    const absl::Status s = dial(to, {.local = "192.0.2.1:0"}).status();
    EXPECT_EQ(errno_of(s), EADDRNOTAVAIL) << s;
    EXPECT_EQ(s.code(), absl::StatusCode::kUnavailable) << s;
    EXPECT_EQ(s.message().find("bind 192.0.2.1:0: "), 0u) << s;
  });
}

TEST(Dial, ThePeersAddressIsTheKernels) {
  run([] {
    tcp_listener l = listen(":0");
    const int port = l.local_address().port();
    for (const std::string host : {"0.0.0.0", "[::ffff:127.0.0.1]", "127.0.0.1"}) {
      const tcp_stream client = must(dial(host + ":" + std::to_string(port)));
      const tcp_stream server = must(l.accept());
      EXPECT_EQ(client.remote_address().to_string(), "127.0.0.1:" + std::to_string(port)) << host;
      EXPECT_EQ(server.local_address(), client.remote_address()) << host;
      EXPECT_EQ(server.remote_address(), client.local_address()) << host;
      EXPECT_EQ(server.remote_address().kind(), address::family::ipv4);
    }
  });
}

// From its own port a socket can connect to itself, whichever address it dials.
TEST(Dial, NobodyConnectsToHimself) {
  run([] {
    for (const std::string host : {"127.0.0.1", "0.0.0.0"}) {
      std::string own;
      {
        const dead_port free;
        own = free.where().substr(free.where().rfind(':'));
      }
      const absl::Status s = dial(host + own, {.local = "127.0.0.1" + own}).status();
      EXPECT_TRUE(errno_of(s) == ECONNREFUSED || errno_of(s) == EADDRINUSE) << s;
    }
  });
}

TEST(Dial, WhyItWasCancelled) {
  run([] {
    const full_listener l;
    const auto ctx = with_cancel(context::background());
    auto waits = spawn([&] { return dial(l.where(), {.ctx = ctx}).status(); });
    this_fiber::yield();
    ctx.cancel();
    const absl::Status s = waits.join();
    EXPECT_EQ(s.code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(s.message().find("dial " + l.where() + ": "), 0u) << s;
    EXPECT_EQ(dial("x:1", {.ctx = ctx}).status().message().find("dial x:1: "), 0u);
  });
}

// The first address never answers; the second does, whatever the time limit.
TEST(Dial, ASlowAddressKeepsNobodyFromTheNext) {
  run([] {
    const full_listener dead;
    tcp_listener alive = listen();
    const std::vector<address> both = {must(address::parse(dead.where())), alive.local_address()};
    connect_options how;
    how.head_start_ns = 1'000'000;
    for (int i = 0; i < 20; ++i) {
      tcp_stream client = must(connect_to_any(both, how));
      const tcp_stream server = must(alive.accept());
      EXPECT_EQ(client.remote_address(), alive.local_address());
      EXPECT_EQ(client.local_address(), server.remote_address());
    }
    // The same with three that hang, followed by one that refuses.
    const full_listener dead2, dead3;
    const dead_port refuses;
    const std::vector<address> many = {must(address::parse(dead.where())), must(address::parse(dead2.where())),
                                       must(address::parse(dead3.where())), must(address::parse(refuses.where())),
                                       alive.local_address()};
    must(connect_to_any(many, how));
    must(alive.accept());
  });
}

TEST(Dial, SeveralAddressesFailTogether) {
  run([] {
    const full_listener dead, dead2;
    const dead_port refuses;
    const address first = must(address::parse(refuses.where()));
    const std::vector<address> all = {first, must(address::parse(dead.where())), must(address::parse(dead2.where()))};
    connect_options how;
    how.head_start_ns = 1'000'000;
    const int before = free_number();
    EXPECT_EQ(errno_of(connect_to_any({first, first, first}, how).status()), ECONNREFUSED);
    how.limits.deadline_ns = sched::platform::now_ns() + 20'000'000;
    const absl::Status late = connect_to_any(all, how).status();
    EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
    how.limits.deadline_ns = sched::platform::forever_ns;
    const auto ctx = with_cancel(context::background());
    how.limits.context = ctx.as_cancellation();
    auto waits = spawn([&] { return connect_to_any(all, how).status(); });
    for (int i = 0; i < 100; ++i) this_fiber::yield();
    ctx.cancel(absl::AbortedError("enough"));
    EXPECT_TRUE(absl::IsAborted(waits.join()));
    EXPECT_EQ(free_number(), before) << "a socket was left";
  });
}

TEST(Bind, AServicesNameMeansEveryAddress) {
  run([] {
    const absl::StatusOr<int> port = resolve_port("http-alt", {});
    if (!port.ok()) GTEST_SKIP() << port.status();
    absl::StatusOr<tcp_listener> l = tcp_listener::bind(":http-alt");
    if (errno_of(l.status()) == EADDRINUSE) GTEST_SKIP() << l.status();
    EXPECT_TRUE(must(std::move(l)).local_address().is_wildcard());
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
    for (const char* const host : {"127.0.0.1", "localhost"}) {
      const absl::Status s = resolve(host, {.family = address::family::local}).status();
      EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << s;
    }
    EXPECT_EQ(resolve("").status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(resolve("127.0.0.1", {.port = 65536}).ok(), false);
  });
}

// All descriptor numbers are used up; accept() waits until one is free again. The test has a process of its own,
// because no other code may open anything meanwhile.
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

          // close() ends a pause, too.
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
