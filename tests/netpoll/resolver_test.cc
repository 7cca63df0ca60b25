// Names that are looked up by DNS, from a server of the test's own.
#include "../runtime/parked.h"
#include "dns_server.h"

#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/syscall/blocking.h>

#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace baton::net::test {
namespace {

std::vector<std::string> texts(const absl::StatusOr<std::vector<address>>& found) {
  std::vector<std::string> all;
  if (!found.ok()) return {found.status().ToString()};
  for (const address& a : *found) all.push_back(a.ip());
  return all;
}
using list = std::vector<std::string>;

std::set<std::string> set_of(const list& all) { return {all.begin(), all.end()}; }

bool says(const absl::Status& s, const std::string& text) {
  return std::string_view(s.message().data(), s.message().size()).find(text) != std::string_view::npos;
}

std::size_t entries_of(const char* folder) {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

// A file that lives as long as this.
class temporary_file {
 public:
  explicit temporary_file(const std::string& text) {
    std::string name = testing::TempDir() + "baton_names_XXXXXX";
    const int fd = ::mkstemp(name.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
    path_ = name;
    write(text);
  }
  ~temporary_file() { std::filesystem::remove(path_); }
  // Replaces the file, as programs do that others read meanwhile.
  void write(const std::string& text) const {
    std::ofstream(path_ + ".new") << text;
    std::filesystem::rename(path_ + ".new", path_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Resolver, BothFamiliesAreAskedForAtOnce) {
  run([] {
    event both_came;
    std::atomic<int> came{0};
    dns_server server([&](const dns_question& q) {
      if (came.fetch_add(1) + 1 == 2) both_came.set();
      both_came.wait();
      return always("192.0.2.1", "2001:db8::1")(q);
    });
    resolver names = asking(server);
    EXPECT_EQ(set_of(texts(names.resolve("www.example"))), set_of({"192.0.2.1", "2001:db8::1"}));
    EXPECT_EQ(server.asked(), 2);
    const std::vector<address> with_port =
        must(names.resolve("www.example", {.family = address::family::ipv4, .port = 7}));
    ASSERT_EQ(with_port.size(), 1u);
    EXPECT_EQ(with_port[0].to_string(), "192.0.2.1:7");
    EXPECT_EQ(texts(names.resolve("www.example", {.family = address::family::ipv6})), list{"2001:db8::1"});
    EXPECT_EQ(server.asked(), 4);
  });
}

TEST(Resolver, NumbersAndThisHostAreNeverAskedFor) {
  run([] {
    dns_server server(always("192.0.2.1", ""));
    resolver names = asking(server);
    EXPECT_EQ(texts(names.resolve("127.0.0.1")), list{"127.0.0.1"});
    EXPECT_EQ(texts(names.resolve("::1")), list{"::1"});
    for (const char* host : {"localhost", "LOCALHOST.", "a.localhost"}) {
      EXPECT_EQ(set_of(texts(names.resolve(host))), set_of({"127.0.0.1", "::1"})) << host;
      EXPECT_EQ(texts(names.resolve(host, {.family = address::family::ipv4})), list{"127.0.0.1"}) << host;
    }
    EXPECT_EQ(server.asked(), 0);
  });
}

TEST(Resolver, TextsThatAreNotNames) {
  run([] {
    dns_server server(always("192.0.2.1", ""));
    resolver names = asking(server);
    const std::string label(63, 'a');
    std::string long_name;
    for (int i = 0; i < 4; ++i) long_name += label + ".";
    for (const std::string& host :
         {std::string(), std::string("a\0b", 3), std::string("a b"), std::string("127.1"), std::string("a..b"),
          std::string("."), label + "a.example", long_name, std::string(300, 'a')}) {
      const absl::Status s = names.resolve(host).status();
      EXPECT_TRUE(absl::IsInvalidArgument(s)) << host << " " << s;
    }
    EXPECT_EQ(server.asked(), 0);
    EXPECT_EQ(texts(names.resolve(label + ".example")), list{"192.0.2.1"});
    EXPECT_TRUE(absl::IsInvalidArgument(names.names_of(address()).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(names.resolve("a.example", {.servers = {"127.0.0.1"}}).status()));
    EXPECT_EQ(resolver().resolve("a.example").status().code(), absl::StatusCode::kFailedPrecondition);
  });
}

TEST(Resolver, OptionsThatAreNotValid) {
  for (const std::string server : {"", "example", "127.0.0.1:0", "127.0.0.1:x", "0.0.0.0", ":53", "/a"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(resolver::open({.servers = {server}}).status())) << server;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(resolver::open({.search = list{"a b"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(resolver::open({.ndots = -1}).status()));
  EXPECT_FALSE(resolver::open({.hosts = std::string("a\0b", 3)}).ok());
  EXPECT_TRUE(resolver::open({.servers = {"::1", "[::1]:53", "127.0.0.1"}, .hosts = "/no/such/file"}).ok());
}

TEST(Resolver, WhatIsSaidOfFailures) {
  run([] {
    const struct {
      dns_server::handler answer;
      absl::StatusCode expected;
      std::string text;
    } cases[] = {{test::says(dns_nxdomain), absl::StatusCode::kNotFound, "NXDOMAIN"},
                 {always("", ""), absl::StatusCode::kNotFound, "the host has no address"},
                 {test::says(dns_servfail), absl::StatusCode::kUnavailable, "SERVFAIL from "},
                 {test::says(dns_refused), absl::StatusCode::kUnavailable, "REFUSED from "},
                 {nobody_answers(), absl::StatusCode::kUnavailable, "no answer"}};
    for (const auto& c : cases) {
      dns_server server(c.answer);
      resolver names = asking(server, {.try_timeout = 30ms, .tries = 1});
      const absl::Status s = names.resolve("www.example").status();
      EXPECT_EQ(s.code(), c.expected) << s;
      EXPECT_TRUE(says(s, "resolve www.example: ")) << s;
      EXPECT_TRUE(says(s, c.text)) << s;
      EXPECT_TRUE(says(s, server.where())) << s;
    }
    std::string nobody;
    {
      const dns_server gone(nobody_answers());
      nobody = gone.where();
    }
    resolver names = must(resolver::open({.servers = {nobody}, .hosts = ""}));
    const absl::Status s = names.resolve("www.example").status();
    EXPECT_TRUE(absl::IsUnavailable(s)) << s;
    EXPECT_TRUE(says(s, nobody)) << s;
  });
}

// Only a name that does not exist is NOT_FOUND.
TEST(Resolver, OneFamilyFailsAndTheOtherIsEmpty) {
  run([] {
    for (const std::uint16_t broken : {dns_a, dns_aaaa}) {
      dns_server server(
          [=](const dns_question& q) { return q.type == broken ? dns_answer{.code = dns_servfail} : dns_answer{}; });
      resolver names = asking(server, {.search = list{"other.example"}, .tries = 1});
      EXPECT_TRUE(absl::IsUnavailable(names.resolve("a.b").status()));
      EXPECT_EQ(server.names(broken), list{"a.b."}) << "the search goes on after a failure";
      dns_server half([=](const dns_question& q) {
        return q.type == broken ? dns_answer{.code = dns_servfail} : always("192.0.2.1", "2001:db8::1")(q);
      });
      resolver others = asking(half, {.tries = 1});
      EXPECT_EQ(texts(others.resolve("a.b")).size(), 1u);
    }
  });
}

TEST(Resolver, SearchListAndDots) {
  run([] {
    dns_server server([](const dns_question& q) {
      return q.name == "db.two.example." ? always("192.0.2.2", "")(q) : dns_answer{.code = dns_nxdomain};
    });
    resolver names = asking(server, {.search = list{"one.example", "Two.Example."}});
    EXPECT_EQ(texts(names.resolve("db", {.family = address::family::ipv4})), list{"192.0.2.2"});
    EXPECT_EQ(server.names(dns_a), (list{"db.one.example.", "db.two.example."}));
    EXPECT_TRUE(absl::IsNotFound(names.resolve("a.db", {.family = address::family::ipv4}).status()));
    EXPECT_EQ(server.names(dns_a),
              (list{"db.one.example.", "db.two.example.", "a.db.", "a.db.one.example.", "a.db.two.example."}));
    EXPECT_TRUE(absl::IsNotFound(names.resolve("db.", {.family = address::family::ipv4}).status()));
    EXPECT_EQ(server.asked(), 6);
    resolver dots = asking(server, {.search = list{"two.example"}, .ndots = 2});
    EXPECT_TRUE(absl::IsNotFound(dots.resolve("x.db", {.family = address::family::ipv4}).status()));
    EXPECT_EQ(server.names(dns_a).at(6), "x.db.two.example.");
    EXPECT_EQ(server.names(dns_a).at(7), "x.db.");
  });
}

TEST(Resolver, OtherNames) {
  run([] {
    dns_server server([](const dns_question& q) {
      if (q.name == "loop.example.") return dns_answer{{dns_record::cname("loop.example.")}};
      dns_answer a;
      if (q.type == dns_a) {
        a.records = {dns_record::cname("b.example."), dns_record::cname("c.example.").of("b.example."),
                     dns_record::a("192.0.2.3").of("c.example.")};
      }
      return a;
    });
    resolver names = asking(server);
    EXPECT_EQ(texts(names.resolve("a.example")), list{"192.0.2.3"});
    const absl::Status s = names.resolve("loop.example").status();
    EXPECT_TRUE(absl::IsNotFound(s)) << s;
  });
}

TEST(Resolver, LongAnswersComeOverTcp) {
  run([] {
    std::atomic<int> over_tcp{0};
    dns_server server([&](const dns_question& q) {
      if (!q.tcp) return dns_answer{.truncated = true};
      over_tcp.fetch_add(1);
      dns_answer all;
      for (int i = 0; i < 2'000 && q.type == dns_a; ++i) {
        all.records.push_back(dns_record::a("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
      }
      return all;
    });
    resolver names = asking(server);
    const std::vector<address> all = must(names.resolve("big.example"));
    EXPECT_EQ(all.size(), 1'000u);
    EXPECT_EQ(over_tcp.load(), 2);
  });
}

TEST(Resolver, LiesAreNotBelieved) {
  run([] {
    std::atomic<bool> only_lies{false};
    dns_server server([&](const dns_question& q) {
      dns_answer a = always(q.name == "www.example." ? "192.0.2.4" : "192.0.2.66", "")(q);
      a.wrong_id = a.wrong_question = true;
      a.silent = only_lies.load();
      return a;
    });
    resolver names = asking(server, {.try_timeout = 50ms, .tries = 1});
    EXPECT_EQ(texts(names.resolve("www.example")), list{"192.0.2.4"});
    only_lies.store(true);
    const absl::Status s = names.resolve("other.example").status();
    EXPECT_TRUE(absl::IsUnavailable(s)) << s;
  });
}

// A look-up does not wait long for one family if the other is there.
TEST(Resolver, OneFamilyIsNeverAnswered) {
  run([] {
    dns_server server([](const dns_question& q) {
      return q.type == dns_aaaa ? dns_answer{.silent = true} : always("192.0.2.5", "")(q);
    });
    resolver names = asking(server, {.try_timeout = 1h});
    EXPECT_EQ(texts(names.resolve("www.example")), list{"192.0.2.5"});
    EXPECT_EQ(texts(names.resolve("www.example", {.timeout = 1h})), list{"192.0.2.5"});
  });
}

TEST(Resolver, TheNextServerAnswers) {
  run([] {
    dns_server dead(nobody_answers());
    dns_server refuses(test::says(dns_refused));
    dns_server server(always("192.0.2.6", ""));
    resolver names = must(
        resolver::open({.servers = {dead.where(), refuses.where(), server.where()}, .try_timeout = 30ms, .hosts = ""}));
    EXPECT_EQ(texts(names.resolve("www.example", {.family = address::family::ipv4})), list{"192.0.2.6"});
    EXPECT_GE(dead.asked(), 1);
  });
}

TEST(Resolver, HostsFile) {
  run([] {
    const temporary_file hosts(
        "# comment\n192.0.2.7\tFile.Example alias  # more\n2001:db8::7 file.example\nnonsense x.example\n"
        "192.0.2.8 alias");
    dns_server server(test::says(dns_nxdomain));
    resolver names = asking(server, {.hosts = hosts.path()});
    EXPECT_EQ(set_of(texts(names.resolve("file.example"))), set_of({"192.0.2.7", "2001:db8::7"}));
    EXPECT_EQ(texts(names.resolve("FILE.EXAMPLE.", {.family = address::family::ipv6})), list{"2001:db8::7"});
    EXPECT_EQ(set_of(texts(names.resolve("alias"))), set_of({"192.0.2.7", "192.0.2.8"}));
    EXPECT_EQ(must(names.names_of(must(address::parse("192.0.2.7:80")))), (list{"file.example", "alias"}));
    EXPECT_EQ(server.asked(), 0);
    EXPECT_TRUE(absl::IsNotFound(names.resolve("x.example").status()));
    EXPECT_EQ(server.asked(), 2);
    // A change is seen.
    hosts.write("192.0.2.9 file.example\n");
    until([&] { return texts(names.resolve("file.example")) == list{"192.0.2.9"}; });
    hosts.write("");
    until([&] { return absl::IsNotFound(names.resolve("file.example").status()); });
  });
}

TEST(Resolver, ChangedServersFileIsSeen) {
  run([] {
    const temporary_file file("search one.example\noptions ndots:2 timeout:1 attempts:1\n");
    dns_server server(always("192.0.2.10", ""));
    resolver names = asking(server, {.resolv_conf = file.path()});
    const resolve_options v4{.family = address::family::ipv4};
    EXPECT_EQ(texts(names.resolve("db", v4)), list{"192.0.2.10"});
    EXPECT_EQ(server.names(dns_a), list{"db.one.example."});
    file.write("search one.example\nsearch two.example three.example\n");
    until([&] {
      EXPECT_EQ(texts(names.resolve("db", v4)), list{"192.0.2.10"});
      return server.names(dns_a).back() == "db.two.example.";
    });
  });
}

TEST(Resolver, NamesOfAnAddress) {
  run([] {
    dns_server server([](const dns_question& q) {
      if (q.type == dns_ptr && q.name == "11.2.0.192.in-addr.arpa.") {
        return dns_answer{{dns_record::ptr("host.example.")}};
      }
      if (q.type == dns_ptr && q.name.starts_with("1.0.0.0.") && q.name.ends_with("8.b.d.0.1.0.0.2.ip6.arpa.")) {
        return dns_answer{{dns_record::ptr("six.example.")}};
      }
      return dns_answer{.code = dns_nxdomain};
    });
    resolver names = asking(server);
    EXPECT_EQ(must(names.names_of(must(address::parse("192.0.2.11:80")))), list{"host.example"});
    EXPECT_EQ(must(names.names_of(must(address::from_ip("2001:db8::1", 0)))), list{"six.example"});
    const absl::Status s = names.names_of(must(address::from_ip("192.0.2.12", 0))).status();
    EXPECT_TRUE(absl::IsNotFound(s)) << s;
    EXPECT_TRUE(says(s, "resolve 192.0.2.12: ")) << s;
  });
}

TEST(Resolver, ATimeOutAndAContextEndTheWait) {
  run([] {
    dns_server server(nobody_answers());
    resolver names = asking(server, {.try_timeout = 1h});
    const std::size_t before = entries_of("/proc/self/fd");
    const absl::Status late = names.resolve("a.example", {.timeout = 1ms}).status();
    EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
    EXPECT_TRUE(says(late, "a.example")) << late;
    EXPECT_TRUE(absl::IsDeadlineExceeded(names.resolve("a.example", {.timeout = 0s}).status()));
    const auto ctx = with_cancel(context::background());
    auto waits = spawn([&] { return names.resolve("b.example", {.ctx = ctx}).status(); });
    auto dials = spawn([&] { return dial("c.example:80", {.ctx = ctx, .names = &names}).status(); });
    until([&] {
      const std::set<std::string> asked = set_of(server.names(dns_a));
      return asked.count("b.example.") == 1 && asked.count("c.example.") == 1;
    });
    ctx.cancel(absl::AbortedError("enough"));
    EXPECT_TRUE(absl::IsAborted(waits.join()));
    EXPECT_TRUE(absl::IsAborted(dials.join()));
    EXPECT_TRUE(absl::IsDeadlineExceeded(dial("d.example:80", {.timeout = 1ms, .names = &names}).status()));
    // No caller waits any more: the questions end, and with them their sockets. The epoll instance of the channel is
    // left.
    until([&] { return entries_of("/proc/self/fd") <= before + 1; });
  });
}

TEST(Resolver, CloseEndsAll) {
  run([] {
    dns_server server(nobody_answers());
    resolver names = asking(server, {.try_timeout = 1h});
    const std::size_t before = entries_of("/proc/self/fd");
    std::vector<fiber<absl::Status>> all;
    for (int i = 0; i < 100; ++i) {
      all.push_back(spawn([&names, i] { return names.resolve(std::to_string(i % 60) + ".x.example").status(); }));
    }
    std::thread plain([&] { EXPECT_TRUE(absl::IsCancelled(names.resolve("plain.example").status())); });
    until([&] { return server.asked() >= 2 * 61; });
    auto second = spawn([&] { names.close(); });
    names.close();
    for (auto& f : all) {
      const absl::Status s = f.join();
      EXPECT_TRUE(absl::IsCancelled(s)) << s;
    }
    blocking([&] { plain.join(); });
    second.join();
    EXPECT_TRUE(absl::IsCancelled(names.resolve("a.example").status()));
    EXPECT_EQ(entries_of("/proc/self/fd"), before) << "a socket was left";
  });
}

TEST(Resolver, AThousandAtOnceNeedNoThread) {
  run([] {
    dns_server server([](const dns_question& q) {
      const std::string number = q.name.substr(0, q.name.find('.'));
      const int i = std::atoi(number.c_str());
      return always("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250), "")(q);
    });
    resolver names = asking(server);
    (void)names.resolve("1.y.example");  // whatever starts with the first
    const std::size_t before = entries_of("/proc/self/task");
    std::atomic<std::size_t> most{0};
    std::vector<fiber<void>> all;
    for (int i = 0; i < 1'000; ++i) {
      all.push_back(spawn([&, i] {
        EXPECT_EQ(texts(names.resolve(std::to_string(i) + ".x.example")),
                  list{"10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)});
        if (i % 100 == 0) most.store(std::max(most.load(), entries_of("/proc/self/task")));
      }));
    }
    for (auto& f : all) f.join();
    EXPECT_LE(most.load(), before + 2) << "look-ups have started threads";  // two: the runtime's own spares
  });
}

TEST(Resolver, TheSameNameIsAskedForOnce) {
  run([] {
    event go_on;
    dns_server server([&](const dns_question& q) {
      go_on.wait();
      return always("192.0.2.13", "")(q);
    });
    resolver names = asking(server, {.try_timeout = 1h});
    constexpr std::size_t count = 100;
    std::array<baton::test::watched_agent, count + 1> waiting;
    const auto ask = [&](std::size_t i) {
      waiting[i].about_to_wait();
      EXPECT_EQ(texts(names.resolve("same.example")), list{"192.0.2.13"});
    };
    std::vector<fiber<void>> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(spawn(ask, i));
    std::thread plain(ask, count);
    for (const auto& w : waiting) w.await_parked();
    go_on.set();
    for (auto& f : all) f.join();
    blocking([&] { plain.join(); });
    EXPECT_EQ(server.asked(), 2);
  });
}

// Callers come and go while answers arrive, and while the resolver is closed.
TEST(Resolver, NoCallerIsLost) {
  run([] {
    for (int round = 0; round < 5; ++round) {
      dns_server server([](const dns_question& q) {
        if (q.name[0] == '0') return dns_answer{.silent = true};
        if (q.name[0] == '1') return dns_answer{.code = dns_servfail};
        return always("192.0.2.14", "")(q);
      });
      resolver names = asking(server, {.try_timeout = 20ms, .tries = 1});
      const auto ctx = with_cancel(context::background());
      std::vector<fiber<void>> callers;
      for (int i = 0; i < 40; ++i) {
        callers.push_back(spawn([&, i] {
          for (int n = 0; n < 20; ++n) {
            const std::string name = std::to_string((i + n) % 7) + ".z.example";
            resolve_options how;
            if (n % 3 == 0) how.timeout = std::chrono::microseconds(i * n * 5);
            if (n % 3 == 1) how.ctx = ctx;
            const absl::Status s = names.resolve(name, how).status();
            EXPECT_TRUE(s.ok() || absl::IsUnavailable(s) || absl::IsDeadlineExceeded(s) || absl::IsCancelled(s)) << s;
          }
        }));
      }
      for (int i = 0; i < 50 * round; ++i) this_fiber::yield();
      ctx.cancel();
      if (round % 2 == 1) names.close();
      for (auto& c : callers) c.join();
    }
  });
}

// Questions without a waiter do not pile up, although one caller keeps the resolver busy.
TEST(Resolver, GivenUpQuestionsEnd) {
  run([] {
    dns_server server(nobody_answers());
    resolver names = asking(server, {.try_timeout = 1h});
    const auto ctx = with_cancel(context::background());
    auto waits = spawn([&] { return names.resolve("stays.example", {.ctx = ctx}).status(); });
    until([&] { return server.asked() >= 2; });
    const std::size_t before = entries_of("/proc/self/fd");
    for (int i = 0; i < 300; ++i) {
      const std::string name = std::to_string(i) + ".gone.example";
      EXPECT_TRUE(absl::IsDeadlineExceeded(names.resolve(name, {.timeout = 100us}).status()));
    }
    // The channel of the one that stays is open, and a second one, with an epoll instance and a socket.
    until([&] { return entries_of("/proc/self/fd") <= before + 2; });
    ctx.cancel();
    EXPECT_TRUE(absl::IsCancelled(waits.join()));
  });
}

TEST(Resolver, FromPlainThreads) {
  run([] {
    dns_server server(always("192.0.2.15", ""));
    resolver names = asking(server);
    std::vector<std::thread> all;
    for (int i = 0; i < 8; ++i) {
      all.emplace_back([&names, i] {
        for (int n = 0; n < 20; ++n) {
          EXPECT_EQ(texts(names.resolve(std::to_string(i * 100 + n) + ".t.example")), list{"192.0.2.15"});
        }
      });
    }
    blocking([&] {
      for (std::thread& t : all) t.join();
    });
  });
}

TEST(Resolver, DialByName) {
  run([] {
    tcp_listener l = listen();
    // The first address refuses; the families are raced.
    dns_server server([](const dns_question& q) {
      if (q.type == dns_aaaa) return dns_answer{{dns_record::aaaa("::1")}};
      return dns_answer{{dns_record::a("127.0.0.1")}};
    });
    resolver names = asking(server);
    tcp_stream client =
        must(dial("www.example:" + std::to_string(l.local_address().port()), {.timeout = 1h, .names = &names}));
    tcp_stream accepted = must(l.accept());
    EXPECT_EQ(client.remote_address(), l.local_address());
    EXPECT_EQ(server.asked(), 2);
  });
}

TEST(Resolver, TheFunctionAsksServersToo) {
  run([] {
    dns_server server([](const dns_question& q) {
      if (q.type == dns_ptr) return dns_answer{{dns_record::ptr("host.example.")}};
      return always("192.0.2.16", "")(q);
    });
    EXPECT_EQ(texts(resolve("www.example", {.servers = {server.where()}})), list{"192.0.2.16"});
    EXPECT_EQ(must(names_of(must(address::from_ip("192.0.2.16", 0)), {.servers = {server.where()}})),
              list{"host.example"});
    EXPECT_TRUE(absl::IsInvalidArgument(resolve("www.example", {.servers = {"www.example"}}).status()));
  });
}

TEST(Resolver, MovesAndCloses) {
  run([] {
    dns_server server(always("192.0.2.17", ""));
    resolver names = asking(server);
    resolver moved = std::move(names);
    EXPECT_EQ(texts(moved.resolve("www.example")), list{"192.0.2.17"});
    moved = asking(server);
    EXPECT_EQ(texts(moved.resolve("www.example")), list{"192.0.2.17"});
    moved.close();
    moved.close();
  });
}

// After exit() no fiber runs. A destructor's look-up ends nevertheless.
TEST(ResolverDeathTest, InAStaticDestructor) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        static std::string dead_server;
        struct late {
          ~late() {
            resolver names =
                must(resolver::open({.servers = {dead_server}, .try_timeout = 20ms, .tries = 1, .hosts = ""}));
            const absl::Status s = names.resolve("www.example").status();
            const absl::Status timed = names.resolve("www.example", {.timeout = 10ms}).status();
            std::_Exit(absl::IsUnavailable(s) && (absl::IsUnavailable(timed) || absl::IsDeadlineExceeded(timed)) ? 7
                                                                                                                 : 8);
          }
        };
        static late at_exit;
        run([] {
          const dns_server gone(nobody_answers());
          dead_server = gone.where();
        });
        std::exit(0);
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace baton::net::test
