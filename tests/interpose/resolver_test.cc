// The C library's own resolver, and a name server that takes its time.
#include "held_server.h"
#include "two_hundred.h"

#include <baton/runtime/run.h>
#include <baton/sched/platform/sanitizers.h>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sys/socket.h>
#include <cstdint>
#include <fstream>
#include <string>

namespace {

using namespace baton_test;
using namespace std::string_literals;

// Returns false if the system's configuration keeps the resolver from asking a name server.
bool asks_name_servers() {
  std::ifstream in("/etc/nsswitch.conf");
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind("hosts:", 0) == 0) return line.find("dns") != std::string::npos;
  }
  return true;
}

// Answers with one address.
std::string reply_to(const std::string& query) {
  const std::size_t end = query.find('\0', 12);  // of the name
  if (query.size() < 12 || end == std::string::npos) return {};
  const std::string question = query.substr(12, end + 5 - 12);
  return query.substr(0, 2) + "\x81\x80\0\1\0\1\0\0\0\0"s + question + "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\1\2\3"s;
}

// The resolver's state belongs to a thread. The fiber does not leave its thread until it has the answer.
[[gnu::noinline]] int look_up(const std::string& name, int port, ::addrinfo** found) {
  if (::res_init() != 0) return EAI_SYSTEM;
  _res.nscount = 1;
  _res.nsaddr_list[0] = {};
  _res.nsaddr_list[0].sin_family = AF_INET;
  _res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  _res.nsaddr_list[0].sin_port = htons(static_cast<std::uint16_t>(port));
  _res.retrans = 60;
  _res.retry = 1;
  ::addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  return ::getaddrinfo(name.c_str(), nullptr, &hints, found);
}

TEST(Resolver, TwoHundredFibersWaitForANameServer) {
  if (BATON_TSAN != 0) GTEST_SKIP() << "ThreadSanitizer does not see the lock that res_init() takes in the C library";
  if (!asks_name_servers()) GTEST_SKIP() << "nsswitch.conf has no dns";
  held_server server(two_hundred, reply_to);
  const auto call = [&](int i) {
    ::addrinfo* found = nullptr;
    const int code = look_up("host" + std::to_string(i) + ".baton.test.", server.port(), &found);
    ASSERT_EQ(code, 0) << ::gai_strerror(code);
    EXPECT_EQ(reinterpret_cast<::sockaddr_in*>(found->ai_addr)->sin_addr.s_addr, htonl(0x7f01'0203));
    ::freeaddrinfo(found);
  };
  baton::run([&] { call_from_two_hundred(call, server); });
}

}  // namespace
