#include <baton/netpoll/address.h>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <cstddef>
#include <string>
#include <unordered_set>

namespace baton::net {
namespace {

TEST(Address, ParsesAndFormats) {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
                           "[2001:db8::1]:443", "/a/unix.sock", "./here.sock", "../there.sock", "@abstract"}) {
    const absl::StatusOr<address> a = address::parse(text);
    ASSERT_TRUE(a.ok()) << text << ": " << a.status();
    EXPECT_EQ(a->to_string(), text);
  }
  EXPECT_EQ(address::parse(":80")->to_string(), "[::]:80");
  EXPECT_EQ(address::parse("127.0.0.1:80")->port(), 80);
  EXPECT_EQ(address::parse("[fe80::1%1]:80")->kind(), address::family::ipv6);
  EXPECT_TRUE(address::parse(":80")->is_wildcard());
  EXPECT_FALSE(address::parse("[::1]:80")->is_wildcard());
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text :
       {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:8o", "::1:80", "[::1]", "[::1]80",
        "[::1:80", "localhost:80", "1.2.3:80", "1.2.3.4.5:80", "127.0.0.1: 80", "[fe80::1%no-such-interface]:80"}) {
    EXPECT_EQ(address::parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  // A wrong zone is named as the cause.
  for (const absl::Status& s :
       {address::parse("[fe80::1%nope]:80").status(), address::from_ip("fe80::1%nope", 80).status()}) {
    EXPECT_EQ(s.message(), "address \"fe80::1%nope\": no such interface");
  }
  EXPECT_FALSE(address::parse("/" + std::string(200, 'x')).ok());
  EXPECT_FALSE(address::from_ip("127.0.0.1", 65536).ok());
}

TEST(Address, SurvivesTheKernelsForm) {
  for (const char* text : {"127.0.0.1:80", "[2001:db8::1]:443", "[fe80::1%1]:443", "/a/unix.sock", "@abstract"}) {
    const address a = *address::parse(text);
    sockaddr_storage sa;
    const socklen_t size = a.to_sockaddr(sa);
    const address back = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&sa), size);
    EXPECT_EQ(a, back) << text;
    EXPECT_EQ(a.hash(), back.hash());
  }
  sockaddr_storage sa;
  EXPECT_EQ(address().to_sockaddr(sa), 0u);
}

TEST(Address, ComparesAndHashes) {
  std::unordered_set<address> set;
  set.insert(*address::parse("127.0.0.1:80"));
  set.insert(*address::parse("127.0.0.1:80"));
  set.insert(*address::parse("127.0.0.1:81"));
  set.insert(*address::parse("[::1]:80"));
  set.insert(*address::parse("@x"));
  EXPECT_EQ(set.size(), 4u);
  EXPECT_EQ(address(), address());
}

// How dual-stack sockets report an IPv4 peer.
TEST(Address, AnIPv4AddressInIPv6FormIsThatAddress) {
  const address plain = *address::parse("127.0.0.1:80");
  const address written = *address::parse("[::ffff:127.0.0.1]:80");
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(80);
  ASSERT_EQ(::inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6.sin6_addr), 1);
  in6.sin6_scope_id = 1;
  const address of_kernel = address::from_sockaddr(reinterpret_cast<const sockaddr*>(&in6), sizeof in6);
  for (const address& a : {written, of_kernel}) {
    EXPECT_EQ(a, plain);
    EXPECT_EQ(a.hash(), plain.hash());
    EXPECT_EQ(a.to_string(), "127.0.0.1:80");
    EXPECT_EQ(a.kind(), address::family::ipv4);
    EXPECT_TRUE(a.is_loopback());
  }
  EXPECT_FALSE(address::from_ip("::ffff:127.0.0.1%1", 80).ok());
}

TEST(Address, ItsParts) {
  EXPECT_EQ(address::parse("127.0.0.1:80")->ip(), "127.0.0.1");
  EXPECT_EQ(address::parse("[2001:db8::1]:80")->ip(), "2001:db8::1");
  EXPECT_EQ(address::parse("/x")->ip(), "");
  for (const char* text : {"127.0.0.1:80", "127.255.255.255:80", "[::1]:80", "[::ffff:127.1.2.3]:80"}) {
    EXPECT_TRUE(address::parse(text)->is_loopback()) << text;
  }
  for (const char* text : {"126.0.0.1:80", "128.0.0.1:80", "[::]:80", "[::2]:80", "[1::1]:80", "/x", "@x"}) {
    EXPECT_FALSE(address::parse(text)->is_loopback()) << text;
  }
}

// getaddrinfo, inet_aton or strtoul reads each of these in one way or another.
const char* const odd_hosts[] = {"0177.0.0.1",
                                 "127.1",
                                 "127.0.1",
                                 "0x7f000001",
                                 "0x7f.0.0.1",
                                 "0x7f.1",
                                 "2130706433",
                                 "127.0.0.01",
                                 "127.0.0.1 www.example.com",
                                 " 127.0.0.1",
                                 "127.0.0.1 ",
                                 "127.0.0.1\n",
                                 "127.0.0.1.",
                                 "+127.0.0.1",
                                 "127.0.0.+1",
                                 "127.0.0.-1",
                                 "256.0.0.1",
                                 "127.0.0.256",
                                 "1.2.3.4.5",
                                 "127..0.1",
                                 "127.0.0.",
                                 "0x",
                                 "0",
                                 "1",
                                 "127.0.0.0x1",
                                 "\xef\xbc\x91.2.3.4"};

TEST(Address, OddNumbersAreNone) {
  for (const char* host : odd_hosts) {
    EXPECT_FALSE(address::from_ip(host, 80).ok()) << host;
    EXPECT_FALSE(address::parse(std::string(host) + ":80").ok()) << host;
    EXPECT_TRUE(absl::IsInvalidArgument(check_host_name(host))) << host;
  }
  for (const char* text : {"[]:80", "[127.0.0.1]:80", "[localhost]:80", "[::1]]:80", "[[::1]:80", "[::1%]:80",
                           "[::1%0]:80", "[::1%+1]:80", "[::1% 1]:80", "[::ffff:0177.0.0.1]:80", "[::ffff:127.1]:80",
                           "[12345::]:80", "127.0.0.1%1:80", ".", ".5:80", "...:80"}) {
    EXPECT_FALSE(address::parse(text).ok()) << text;
  }
  for (const char* port :
       {"", "080", "00", "+80", "-1", "65536", "99999999999999999999", " 80", "80 ", "0x50", "8e1", "80\n"}) {
    EXPECT_EQ(parse_port(port), -1) << port;
    EXPECT_FALSE(address::parse(std::string("127.0.0.1:") + port).ok()) << port;
  }
  EXPECT_EQ(parse_port("0"), 0);
}

TEST(Address, ANulCutsNothing) {
  const std::string nul(1, '\0');
  for (const std::string& host : {"127.0.0.1" + nul, "127.0.0.1" + nul + ".example.com", "::1" + nul + "x", nul,
                                  nul + "127.0.0.1", "fe80::1%lo" + nul + "zz", "fe80::1%" + nul, "localhost" + nul}) {
    EXPECT_FALSE(address::from_ip(host, 80).ok());
    EXPECT_TRUE(absl::IsInvalidArgument(check_host_name(host)));
    const std::string in_brackets = host.find(':') != std::string::npos ? "[" + host + "]" : host;
    EXPECT_TRUE(absl::IsInvalidArgument(address::parse(in_brackets + ":80").status()));
  }
  for (const std::string& text :
       {"127.0.0.1:80" + nul, "127.0.0.1:8" + nul + "0", "/a" + nul + "b", "@a" + nul, "./" + nul}) {
    EXPECT_TRUE(absl::IsInvalidArgument(address::parse(text).status()));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(check_service_name("http" + nul + "x")));
  // The message also shows what was there.
  EXPECT_NE(address::from_ip("127.0.0.1" + nul + "x", 80).status().message().find("127.0.0.1\\x00x"),
            absl::string_view::npos);
}

TEST(HostName, NamesAreNoNumbers) {
  for (const char* name : {"localhost", "example.com", "example.com.", "a-b_c.d", "0x7g", "1.example", "3com",
                           "127.0.0.1.example", "m\xc3\xbcnchen.de", "xn--mnchen-3ya.de"}) {
    EXPECT_TRUE(check_host_name(name).ok()) << name;
  }
  for (const char* name : {"", "a b", "a/b", "a:b", "a%b", "a\nb", "[a]", "user@host", "http://x", "a?", "a#b"}) {
    EXPECT_FALSE(check_host_name(name).ok()) << name;
  }
  EXPECT_FALSE(check_host_name(std::string(255, 'a')).ok());
  for (const char* service : {"http", "http-alt", "3com-tsmux", "whois++", "x"})
    EXPECT_TRUE(check_service_name(service).ok());
  for (const char* service : {"", "80", "080", "-1", "+1", "65536", " http", "http ", "--"}) {
    EXPECT_FALSE(check_service_name(service).ok()) << service;
  }
}

// Names of the greatest length that the kernel allows, and names from it that parse() would take for something else.
TEST(Address, UnixNamesSurvive) {
  const auto round_trip = [](const address& a) {
    sockaddr_storage sa;
    const socklen_t size = a.to_sockaddr(sa);
    return address::from_sockaddr(reinterpret_cast<const sockaddr*>(&sa), size);
  };
  for (const std::string& text : {"/" + std::string(106, 'x'), "@" + std::string(107, 'x')}) {
    const absl::StatusOr<address> a = address::parse(text);
    ASSERT_TRUE(a.ok()) << a.status();
    EXPECT_EQ(round_trip(*a).path(), text);
  }
  EXPECT_FALSE(address::parse("/" + std::string(107, 'x')).ok());
  EXPECT_FALSE(address::parse("@" + std::string(108, 'x')).ok());
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  un.sun_path[0] = '@';
  un.sun_path[1] = 'x';
  const address relative =
      address::from_sockaddr(reinterpret_cast<const sockaddr*>(&un), offsetof(sockaddr_un, sun_path) + 3);
  EXPECT_EQ(relative.path(), "./@x");
  EXPECT_NE(relative, *address::parse("@x"));
}

TEST(AddressDeathTest, APortThatIsNone) {
  const address a = *address::parse("127.0.0.1:80");
  EXPECT_DEATH((void)a.with_port(65536), "with_port\\(65536\\): a port is 0 to 65535");
  EXPECT_DEATH((void)a.with_port(-1), "a port is 0 to 65535");
}

TEST(SplitHostPort, TakesNamesAndServices) {
  const absl::StatusOr<host_and_port> p = split_host_port("localhost:http");
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(p->host, "localhost");
  EXPECT_EQ(p->port, "http");
  EXPECT_EQ(split_host_port("[::1]:80")->host, "::1");
  EXPECT_EQ(split_host_port(":80")->host, "");
  EXPECT_FALSE(split_host_port("localhost").ok());
  EXPECT_FALSE(split_host_port("localhost:").ok());
  EXPECT_EQ(parse_port("65535"), 65535);
  EXPECT_EQ(parse_port("65536"), -1);
  EXPECT_EQ(parse_port(""), -1);
  EXPECT_EQ(parse_port("+1"), -1);
}

}  // namespace
}  // namespace baton::net
