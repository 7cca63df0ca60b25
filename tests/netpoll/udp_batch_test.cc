// Many datagrams with one call, datagrams that the kernel cuts and joins, and multicast.
#include "failing_calls.h"
#include "net_test_support.h"

#include <baton/netpoll/udp_socket.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

udp_socket bound(udp_options options = {}) {
  udp_socket s = must(udp_socket::bind("127.0.0.1:0", std::move(options)));
  EXPECT_TRUE(s.set_receive_buffer(1 << 20).ok());
  return s;
}

// Buffers for receive_many().
struct buffers {
  explicit buffers(std::size_t count, std::size_t size = 100) : memory(count, std::string(size, '\0')) {
    for (std::string& m : memory) all.push_back({.buffer = m});
  }
  [[nodiscard]] std::string text(std::size_t i) const { return memory[i].substr(0, all[i].size); }

  std::vector<std::string> memory;
  std::vector<incoming> all;
};

// Text in which each place can be told from the others.
std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 7 + i / 251) % 251);
  return text;
}

// Receives datagrams one by one until their sizes add up.
std::vector<std::string> receive_all(udp_socket& s, std::size_t size) {
  std::vector<std::string> all;
  std::string buffer(70'000, '\0');
  for (std::size_t got = 0; got < size;) {
    const std::size_t n = must(s.receive(buffer));
    all.push_back(buffer.substr(0, n));
    got += n;
  }
  return all;
}

TEST(UdpMany, ArriveInOrderWithTheirSenders) {
  run([] {
    udp_socket a = bound();
    udp_socket b = bound();
    udp_socket c = bound();
    std::vector<std::string> texts;
    std::vector<outgoing> out;
    for (int i = 0; i < 100; ++i)
      texts.push_back(std::string(static_cast<std::size_t>(i % 5), 'x') + std::to_string(i));
    for (const std::string& t : texts) out.push_back({.data = t, .to = a.local_address()});
    EXPECT_EQ(must(b.send_many(out)), 100);
    EXPECT_EQ(must(c.send_many({out.data(), 1})), 1);
    buffers in(128);
    std::size_t got = 0;
    while (got < 101) {
      const int n = must(a.receive_many(std::span(in.all).subspan(got)));
      ASSERT_GT(n, 0);
      got += static_cast<std::size_t>(n);
    }
    for (std::size_t i = 0; i < 100; ++i) {
      EXPECT_EQ(in.text(i), texts[i]);
      EXPECT_EQ(in.all[i].from, b.local_address());
      EXPECT_FALSE(in.all[i].truncated);
    }
    EXPECT_EQ(in.text(100), texts[0]);
    EXPECT_EQ(in.all[100].from, c.local_address());
  });
}

TEST(UdpMany, NoneIsNoCall) {
  run([] {
    udp_socket a = bound();
    EXPECT_EQ(must(a.send_many({})), 0);
    EXPECT_EQ(must(a.receive_many({})), 0);
  });
}

TEST(UdpMany, WaitsForTheFirstOnly) {
  run([] {
    udp_socket a = bound();
    udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
    buffers in(10);
    auto waits = spawn([&] { return a.receive_many(in.all); });
    until_reader_waits(a);
    must(b.send("one"));
    EXPECT_EQ(must(waits.join()), 1);
    EXPECT_EQ(in.text(0), "one");
  });
}

// Those before the one that fails are sent, and counted; the next call says why.
TEST(UdpMany, OneThatFailsIsToldByTheNextCall) {
  run([] {
    udp_socket a = bound();
    udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
    const std::string large(70'000, 'x');
    const outgoing out[] = {{.data = "0"}, {.data = ""}, {.data = large}, {.data = "3"}};
    EXPECT_EQ(must(b.send_many(out)), 2);
    EXPECT_EQ(errno_of(b.send_many(std::span(out).subspan(2)).status()), EMSGSIZE);
    EXPECT_EQ(must(b.send_many(std::span(out).subspan(3))), 1);
    const outgoing foreign[] = {{.data = "4"}, {.data = "5", .to = must(address::parse("/no/ip"))}};
    EXPECT_EQ(must(b.send_many(foreign)), 1);
    EXPECT_EQ(errno_of(b.send_many(std::span(foreign).subspan(1)).status()), EAFNOSUPPORT);
    buffers in(10);
    std::vector<std::string> got;
    while (got.size() < 4) {
      const int n = must(a.receive_many(in.all));
      for (int i = 0; i < n; ++i) got.push_back(in.text(static_cast<std::size_t>(i)));
    }
    EXPECT_EQ(got, (std::vector<std::string>{"0", "", "3", "4"}));
  });
}

// The error of a datagram in the middle is lost in the kernel (sendmmsg); it is sent again.
TEST(UdpMany, AnErrorThatPassesLosesNothing) {
  run([] {
    with_failing_calls({SYS_sendmmsg}, [] {
      udp_socket a = bound();
      udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
      std::vector<std::string> texts;
      std::vector<outgoing> out;
      for (int i = 0; i < 150; ++i) texts.push_back(std::to_string(i));
      for (const std::string& t : texts) out.push_back({.data = t});
      failing_calls::fail(SYS_sendmmsg, EINTR, 2);
      EXPECT_EQ(must(b.send_many(out)), 150);  // more than one call of the kernel
      for (const std::string& t : texts) {
        char buffer[10];
        const std::size_t n = must(a.receive(buffer));
        EXPECT_EQ(std::string(buffer, n), t);
      }
    });
  });
}

// Several sends at once: no datagram of another call comes in between.
TEST(UdpMany, ASendIsOneUnit) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          udp_socket a = bound();
          udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
          static constexpr int each = 70;
          std::vector<fiber<void>> senders;
          for (int k = 0; k < 3; ++k) {
            senders.push_back(spawn([&b, k] {
              const std::string text(1, static_cast<char>('a' + k));
              const std::vector<outgoing> out(each, outgoing{.data = text});
              EXPECT_EQ(must(b.send_many(out)), each);
            }));
          }
          std::string got;
          char buffer[4];
          for (int i = 0; i < 3 * each; ++i) {
            EXPECT_EQ(must(a.receive(buffer)), 1u);
            got += buffer[0];
          }
          EXPECT_EQ(std::unique(got.begin(), got.end()) - got.begin(), 3) << got;
          for (auto& s : senders) s.join();
        },
        {.procs = procs_now});
  }
}

// What the receiver gets does not depend on whether the kernel cuts, or the device refuses.
TEST(UdpSegments, AreDatagramsOfTheirOwn) {
  run([] {
    with_failing_calls({SYS_sendmmsg, SYS_getsockopt}, [] {
      for (const int refusal : {0, EIO, EINVAL, EMSGSIZE}) {
        udp_socket a = bound();
        udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
        const std::string text = pattern(10'500);
        const outgoing out[] = {{.data = "before"},
                                {.data = text, .segment = 1000},
                                {.data = "one", .segment = 1000},
                                {.data = "", .segment = 10},
                                {.data = "after"}};
        std::span<const outgoing> rest(out);
        EXPECT_EQ(must(b.send_many(rest.first(1))), 1);
        if (refusal != 0) failing_calls::fail(SYS_sendmmsg, refusal);
        EXPECT_EQ(must(b.send_many(rest.subspan(1))), 4);
        EXPECT_EQ(failing_calls::left(), 0);
        std::vector<std::string> got = receive_all(a, 6 + text.size() + 3);
        ASSERT_EQ(got.size(), 13u) << refusal;
        EXPECT_EQ(got[0], "before");
        std::string all;
        for (std::size_t i = 1; i <= 11; ++i) {
          EXPECT_EQ(got[i].size(), i < 11 ? 1000u : 500u);
          all += got[i];
        }
        EXPECT_EQ(all, text);
        EXPECT_EQ(got[12], "one");
        char buffer[10];
        EXPECT_EQ(must(a.receive(buffer)), 0u);
        EXPECT_EQ(must(a.receive(buffer)), 5u);
      }
    });
  });
}

// More than the kernel cuts at once.
TEST(UdpSegments, AnyNumberFitsIntoOneElement) {
  run([] {
    udp_socket a = bound();
    udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
    for (const auto& [size, segment] :
         {std::pair<std::size_t, std::size_t>{200'000, 1400}, {300, 2}, {150'000, 40'000}}) {
      const std::string text = pattern(size);
      auto receiver = spawn([&, size = size] { return receive_all(a, size); });
      const outgoing out[] = {{.data = text, .segment = segment}};
      EXPECT_EQ(must(b.send_many(out)), 1);
      const std::vector<std::string> got = receiver.join();
      EXPECT_EQ(got.size(), (size + segment - 1) / segment);
      EXPECT_EQ(std::accumulate(got.begin(), got.end(), std::string()), text);
    }
    const outgoing huge[] = {{.data = pattern(200'000), .segment = 70'000}};
    EXPECT_EQ(errno_of(b.send_many(huge).status()), EMSGSIZE);
  });
}

// A receiver that takes joined datagrams finds where each begins.
TEST(UdpSegments, AreJoinedForAReceiverThatAsks) {
  run([] {
    udp_socket a = bound({.gro = true});
    udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
    const std::string text = pattern(20'300);
    const outgoing out[] = {{.data = text, .segment = 1000}, {.data = "single"}};
    EXPECT_EQ(must(b.send_many(out)), 2);
    buffers in(8, 65'536);
    std::vector<std::string> got;
    int filled = 0;
    for (std::size_t size = 0; size < text.size() + 6;) {
      const int n = must(a.receive_many(in.all));
      filled += n;
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
        const std::string all = in.text(i);
        size += all.size();
        EXPECT_FALSE(in.all[i].truncated);
        const std::size_t step = in.all[i].segment == 0 ? all.size() : in.all[i].segment;
        for (std::size_t at = 0; at < all.size(); at += step) got.push_back(all.substr(at, step));
      }
    }
    ASSERT_EQ(got.size(), 22u);
    EXPECT_EQ(std::accumulate(got.begin(), got.end(), std::string()), text + "single");
    EXPECT_EQ(got[0].size(), 1000u);
    EXPECT_EQ(got[20].size(), 300u);
    if (filled == 22) GTEST_SKIP() << "the kernel joins nothing";
    EXPECT_EQ(a.receive(in.memory[0]).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(must(b.send_many(out)), 2);
    const datagram d = must(a.receive_from(in.memory[0]));
    EXPECT_EQ(d.segment, 1000u);
    EXPECT_EQ(d.from, b.local_address());
    std::string small(2500, '\0');
    EXPECT_EQ(must(b.send_many(out)), 2);
    EXPECT_EQ(must(a.receive_from(small)).segment, 0u);  // "single"
    const datagram cut = must(a.receive_from(small));
    EXPECT_TRUE(cut.truncated);
    EXPECT_EQ(cut.size, small.size());
    EXPECT_EQ(cut.segment, 1000u);
  });
}

// A member of the group on the loopback interface.
udp_socket member(const address& group) {
  udp_socket s = must(udp_socket::bind(":0", {.reuse_address = true}));
  const absl::Status joined = s.join_group(group, "lo");
  EXPECT_TRUE(joined.ok()) << joined;
  return s;
}

TEST(UdpMulticast, ReachesTheMembersUntilTheyLeave) {
  run([] {
    const address group = must(address::from_ip("239.9.8.7", 0));
    udp_socket a = member(group);
    const int port = a.local_address().port();
    udp_socket sender = must(udp_socket::bind("0.0.0.0:0"));
    ASSERT_TRUE(sender.set_multicast_interface("lo").ok());
    ASSERT_TRUE(sender.set_multicast_ttl(0).ok());
    must(sender.send_to("group", group.with_port(port)));
    char buffer[10];
    EXPECT_EQ(must(a.receive(buffer)), 5u);
    EXPECT_EQ(errno_of(a.join_group(group, "lo")), EADDRINUSE);
    ASSERT_TRUE(a.leave_group(group, "lo").ok());
    EXPECT_EQ(errno_of(a.leave_group(group, "lo")), EADDRNOTAVAIL);
    must(sender.send_to("nobody", group.with_port(port)));
    must(sender.send_to("direct", must(address::from_ip("127.0.0.1", port))));
    EXPECT_EQ(std::string(buffer, must(a.receive(buffer))), "direct");
  });
}

// A socket with the port, but not in the group, beside a member of the same process.
TEST(UdpMulticast, OnlyMembersReceive) {
  run([] {
    const address group = must(address::from_ip("239.9.8.5", 0));
    udp_socket inside = member(group);
    const int port = inside.local_address().port();
    udp_socket outside = must(udp_socket::bind(":" + std::to_string(port), {.reuse_address = true}));
    udp_socket sender = must(udp_socket::bind("0.0.0.0:0"));
    ASSERT_TRUE(sender.set_multicast_interface("lo").ok());
    must(sender.send_to("group", group.with_port(port)));
    char buffer[10];
    EXPECT_EQ(must(inside.receive(buffer)), 5u);
    inside.close();  // so the next one goes to the other
    must(sender.send_to("direct", must(address::from_ip("127.0.0.1", port))));
    EXPECT_EQ(std::string(buffer, must(outside.receive(buffer))), "direct");
  });
}

TEST(UdpMulticast, TheSendersHostReceivesUnlessTold) {
  run([] {
    const address group = must(address::from_ip("239.9.8.6", 0));
    udp_socket a = member(group);
    udp_socket sender = must(udp_socket::bind(":0"));
    ASSERT_TRUE(sender.set_multicast_interface("lo").ok());
    const address to = group.with_port(a.local_address().port());
    ASSERT_TRUE(sender.set_multicast_loop(false).ok());
    must(sender.send_to("unheard", to));
    ASSERT_TRUE(sender.set_multicast_loop(true).ok());
    must(sender.send_to("heard", to));
    char buffer[10];
    // A datagram that leaves by the loopback interface comes back also without the option, so it may arrive twice.
    const std::string text(buffer, must(a.receive(buffer)));
    EXPECT_TRUE(text == "heard" || text == "unheard") << text;
    int loops = -1;
    socklen_t size = sizeof loops;
    ASSERT_EQ(::getsockopt(sender.native_handle(), IPPROTO_IP, IP_MULTICAST_LOOP, &loops, &size), 0);
    EXPECT_EQ(loops, 1);
  });
}

TEST(UdpMulticast, IPv6) {
  run([] {
    const address group = must(address::from_ip("ff11::1234", 0));
    absl::StatusOr<udp_socket> probe = udp_socket::bind("[::1]:0");
    if (!probe.ok()) GTEST_SKIP() << "no IPv6 here";
    udp_socket a = member(group);
    udp_socket sender = must(udp_socket::bind("[::]:0", {.v6_only = true}));
    ASSERT_TRUE(sender.set_multicast_interface("lo").ok());
    ASSERT_TRUE(sender.set_multicast_ttl(1).ok());
    ASSERT_TRUE(sender.set_multicast_loop(true).ok());
    const absl::StatusOr<std::size_t> sent = sender.send_to("six", group.with_port(a.local_address().port()));
    if (!sent.ok()) GTEST_SKIP() << sent.status();
    char buffer[10];
    EXPECT_EQ(must(a.receive(buffer)), 3u);
    EXPECT_TRUE(a.leave_group(group, "lo").ok());
  });
}

TEST(UdpMulticast, WrongArgumentsAreErrors) {
  run([] {
    udp_socket s = bound();
    const address group = must(address::from_ip("239.1.2.3", 0));
    EXPECT_EQ(s.join_group(must(address::from_ip("127.0.0.1", 0))).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(s.join_group(address()).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(errno_of(s.join_group(group, "no-such-interface")), ENODEV);
    EXPECT_EQ(errno_of(s.join_group(group, std::string("lo\0x", 4))), ENODEV);
    EXPECT_EQ(errno_of(s.set_multicast_interface("no-such-interface")), ENODEV);
    EXPECT_FALSE(s.join_group(group, "2000000000").ok());
    for (const int hops : {-1, 256}) {
      EXPECT_EQ(s.set_multicast_ttl(hops).code(), absl::StatusCode::kInvalidArgument);
    }
    EXPECT_TRUE(s.set_multicast_ttl(255).ok());
    EXPECT_TRUE(s.set_multicast_interface("").ok());
    EXPECT_FALSE(s.leave_group(must(address::from_ip("ff02::1", 0))).ok());
  });
}

}  // namespace
}  // namespace baton::net::test
