// What the files of the system say about names, and the order of addresses.
#include <baton/netpoll/address_order.h>
#include <baton/netpoll/hosts_file.h>
#include <baton/netpoll/name_rules.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

using list = std::vector<std::string>;

TEST(NameRules, Sources) {
  const name_sources none = name_sources::parse("passwd: files ldap\n# hosts: ldap\n");
  EXPECT_TRUE(none.files && none.dns && none.files_first && !none.system_for_all);
  const name_sources usual = name_sources::parse("hosts:\t\tfiles dns # comment\n");
  EXPECT_TRUE(usual.files && usual.dns && usual.files_first && !usual.system_for_all);
  const name_sources other_order = name_sources::parse("hosts:dns files");
  EXPECT_TRUE(other_order.files && other_order.dns && !other_order.files_first && !other_order.system_for_all);
  const name_sources alone = name_sources::parse("hosts: files\n");
  EXPECT_TRUE(alone.files && !alone.dns && !alone.system_for_all);
  const name_sources desktop = name_sources::parse("hosts: files mdns4_minimal [NOTFOUND=return] dns myhostname\n");
  EXPECT_TRUE(desktop.files && desktop.dns && desktop.system_for_local && desktop.system_for_own);
  for (const char* more :
       {"hosts: files resolve [!UNAVAIL=return] dns", "hosts: files [NOTFOUND=return] dns",
        "hosts: files [!UNAVAIL=return SUCCESS=continue] dns", "hosts: ldap", "hosts: files dns wins"}) {
    EXPECT_TRUE(name_sources::parse(more).system_for_all) << more;
  }
}

TEST(NameRules, TheSourceThatIsAsked) {
  for (const char* variable : {"LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES"}) ::unsetenv(variable);
  name_rules rules;
  rules.own_name = "me";
  EXPECT_FALSE(rules.need_system("www.example"));
  rules.sources.system_for_local = true;
  EXPECT_TRUE(rules.need_system("printer.local"));
  EXPECT_FALSE(rules.need_system("local.example"));
  rules.sources.system_for_own = true;
  for (const char* own : {"me", "localhost", "x.localhost", "_gateway"}) EXPECT_TRUE(rules.need_system(own)) << own;
  EXPECT_FALSE(rules.need_system("www.example"));
  rules.sources.system_for_all = true;
  EXPECT_TRUE(rules.need_system("www.example"));
  rules.sources = {};
  ::setenv("RES_OPTIONS", "ndots:3", 1);
  EXPECT_TRUE(rules.need_system("www.example"));
  ::unsetenv("RES_OPTIONS");
}

TEST(NameRules, Servers) {
  const server_rules none = server_rules::parse("");
  EXPECT_TRUE(none.servers.empty() && none.search.empty());
  EXPECT_EQ(none.ndots, 1);
  EXPECT_EQ(none.timeout_s, 5);
  EXPECT_EQ(none.attempts, 2);
  const server_rules r = server_rules::parse(
      "; comment\nnameserver 192.0.2.1\ndomain old.example\nsearch A.Example b.example.\nnameserver 2001:db8::1 # x\n"
      "options ndots:3 timeout:0 attempts:99 rotate\noptions ndots:x\nnameserver\n");
  EXPECT_EQ(r.servers, (list{"192.0.2.1", "2001:db8::1"}));
  EXPECT_EQ(r.search, (list{"a.example", "b.example"}));
  EXPECT_EQ(r.ndots, 3);
  EXPECT_EQ(r.timeout_s, 1);
  EXPECT_EQ(r.attempts, 5);
  EXPECT_EQ(server_rules::parse("search a b c d e f g h").search.size(), 6u);
}

TEST(NameRules, NamesToAsk) {
  EXPECT_EQ(names_to_ask("a", {"x", "y"}, 1), (list{"a.x.", "a.y.", "a."}));
  EXPECT_EQ(names_to_ask("a.b", {"x"}, 1), (list{"a.b.", "a.b.x."}));
  EXPECT_EQ(names_to_ask("a.b", {"x"}, 2), (list{"a.b.x.", "a.b."}));
  EXPECT_EQ(names_to_ask("a.", {"x"}, 1), list{"a."});
  EXPECT_EQ(names_to_ask("a", {}, 1), list{"a."});
  EXPECT_EQ(names_to_ask("a", {std::string(253, 'x')}, 1), list{"a."}) << "longer than names are";
}

TEST(NameRules, LinesOfFiles) {
  std::vector<std::vector<std::string_view>> all;
  for_each_line("\n  a\tb #c\r\n#\n;\nlast", [&](const std::vector<std::string_view>& words) { all.push_back(words); });
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(all[1], (std::vector<std::string_view>{"last"}));
  EXPECT_EQ(text_of("/no/such/file"), "");
  EXPECT_EQ(stamp_of("/no/such/file"), file_stamp());
  EXPECT_EQ(text_of("/"), "");
}

address ip(const char* text) { return *address::from_ip(text, 0); }
bool before(const char* a, const char* from_a, const char* b, const char* from_b) {
  const auto source = [](const char* text) { return *text == '\0' ? address() : ip(text); };
  const reached_address first{ip(a), source(from_a)};
  const reached_address second{ip(b), source(from_b)};
  EXPECT_FALSE(goes_before(first, second) && goes_before(second, first));
  return goes_before(first, second);
}

// RFC 6724, section 10.2, and the rules one by one.
TEST(AddressOrder, Rules) {
  EXPECT_TRUE(before("192.0.2.1", "192.0.2.9", "2001:db8::1", "")) << "1: what can be reached";
  EXPECT_TRUE(before("198.51.100.121", "198.51.100.117", "2001:db8:1::1", "fe80::1")) << "2: the scope of the source";
  EXPECT_TRUE(before("2001:db8:1::1", "2001:db8:1::2", "198.51.100.121", "169.254.13.78")) << "2";
  EXPECT_TRUE(before("2002:c633:6401::1", "2002:c633:6401::2", "2001:db8:1::1", "2002:c633:6401::2")) << "5: the label";
  EXPECT_TRUE(before("2001:db8:1::1", "2001:db8:1::2", "10.1.2.3", "10.1.2.4")) << "6: the precedence";
  EXPECT_TRUE(before("10.1.2.3", "10.1.2.4", "fd00::1", "fd00::2")) << "6";
  EXPECT_TRUE(before("::1", "::1", "127.0.0.1", "127.0.0.1")) << "6";
  EXPECT_TRUE(before("fe80::1", "fe80::2", "2001:db8:1::1", "2001:db8:1::2")) << "8: the nearer scope";
  EXPECT_TRUE(before("2001:db8:1::1", "2001:db8:1::2", "2001:db8:3ffe::1", "2001:db8:1::2")) << "9: the longer prefix";
  EXPECT_FALSE(before("10.0.0.2", "10.0.0.1", "192.0.2.1", "10.0.0.1")) << "9 is not for IPv4";
}

TEST(AddressOrder, EachOnce) {
  std::vector<address> all = {ip("127.0.0.1"), ip("127.0.0.2"), ip("127.0.0.1")};
  order_addresses(all);
  EXPECT_EQ(all, (std::vector<address>{ip("127.0.0.1"), ip("127.0.0.2")}));
  std::vector<address> many;
  for (int i = 0; i < 300; ++i) many.push_back(*address::from_ip("10.0.0." + std::to_string(i % 150), 0));
  order_addresses(many);
  ASSERT_EQ(many.size(), 150u);
  EXPECT_EQ(many[149], ip("10.0.0.149"));
}

TEST(HostsFile, Names) {
  const hosts_file f =
      hosts_file::parse("127.0.0.1 localhost\n::1 localhost ip6-localhost\n1.2.3 x\n10.0.0.1\n10.0.0.1 a A\n");
  EXPECT_EQ(f.addresses_of("LocalHost.", address::family::none), (std::vector<address>{ip("127.0.0.1"), ip("::1")}));
  EXPECT_EQ(f.addresses_of("localhost", address::family::ipv6), std::vector<address>{ip("::1")});
  EXPECT_TRUE(f.addresses_of("x", address::family::none).empty());
  EXPECT_EQ(f.names_of(ip("10.0.0.1").with_port(7)), list{"a"});
  EXPECT_TRUE(f.names_of(ip("10.0.0.2")).empty());
}

}  // namespace
}  // namespace baton::net::test
