#include <baton/netpoll/address.h>

#include <gtest/gtest.h>
#include <string>
#include <unordered_set>

namespace baton::net {
namespace {

TEST(Address, ParsesAndFormats) {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
                           "[2001:db8::1]:443", "/a/unix.sock", "./here.sock", "@abstract"}) {
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
  EXPECT_NE(*address::parse("127.0.0.1:80"), *address::parse("[::ffff:127.0.0.1]:80"));
  EXPECT_EQ(address(), address());
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
