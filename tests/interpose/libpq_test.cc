// libpq, unmodified: its blocking calls, and its asynchronous interface over net::pollable.
#include "held_server.h"
#include "two_hundred.h"

#include <baton/netpoll/pollable.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

namespace {

using namespace baton_test;

std::string number(std::uint32_t n) {
  n = htonl(n);
  return {reinterpret_cast<const char*>(&n), sizeof n};
}
std::string short_number(int n) { return number(static_cast<std::uint32_t>(n)).substr(2); }
std::string message(char type, const std::string& body) {
  return type + number(static_cast<std::uint32_t>(body.size() + 4)) + body;
}

class postgres : public protocol {
  std::string answer(std::string& in, bool& held) override {
    const std::size_t head = started_ ? 1 : 0;  // the first message has no type
    std::uint32_t size = 0;
    if (in.size() < head + sizeof size) return {};
    std::memcpy(&size, in.data() + head, sizeof size);
    const std::size_t all = head + ntohl(size);
    if (in.size() < all) return {};
    const std::string got = in.substr(0, all);
    in.erase(0, all);
    const std::string ready = message('Z', "I");
    if (!started_) {
      started_ = true;
      return message('R', number(0)) +
             message('S', std::string("server_version\0"
                                      "15.0\0",
                                      20)) +
             ready;
    }
    if (got[0] != 'Q') return {};
    held = true;
    const std::string value = "answer to " + got.substr(5, got.size() - 6);
    const std::string column = std::string("text\0", 5) + number(0) + short_number(0) + number(25) + short_number(-1) +
                               number(~0U) + short_number(0);
    return message('T', short_number(1) + column) +
           message('D', short_number(1) + number(static_cast<std::uint32_t>(value.size())) + value) +
           message('C', std::string("SELECT 1\0", 9)) + ready;
  }

  bool started_ = false;
};

TEST(Libpq, TwoHundredFibersWaitForAnAnswer) {
  held_server server(two_hundred, [] { return std::make_unique<postgres>(); });
  const std::string where = "hostaddr=127.0.0.1 port=" + std::to_string(server.port()) +
                            " user=u dbname=d sslmode=disable gssencmode=disable";
  const auto call = [&](int i) {
    PGconn* const c = PQconnectdb(where.c_str());
    ASSERT_EQ(PQstatus(c), CONNECTION_OK) << PQerrorMessage(c);
    for (int round = 0; round < 2; ++round) {
      const std::string query = "query " + std::to_string(i) + "." + std::to_string(round);
      PGresult* const r = PQexec(c, query.c_str());
      ASSERT_EQ(PQresultStatus(r), PGRES_TUPLES_OK) << PQerrorMessage(c);
      EXPECT_EQ(PQgetvalue(r, 0, 0), "answer to " + query);
      PQclear(r);
    }
    PQfinish(c);
  };
  baton::run([&] { call_from_two_hundred(call, server); });
}

// Waits for what libpq waits for. Its socket stays its own: the pollable has a duplicate.
void wait_for(PGconn* c, bool readable) {
  auto p = baton::net::pollable::adopt(::fcntl(PQsocket(c), F_DUPFD_CLOEXEC, 0));
  ASSERT_TRUE(p.ok()) << p.status();
  const absl::Status s = readable ? p->wait_readable() : p->wait_writable();
  ASSERT_TRUE(s.ok()) << s;
}

TEST(Libpq, ItsAsynchronousInterfaceHoldsNoThread) {
  held_server server(two_hundred, [] { return std::make_unique<postgres>(); });
  const std::string where = "hostaddr=127.0.0.1 port=" + std::to_string(server.port()) +
                            " user=u dbname=d sslmode=disable gssencmode=disable";
  const auto call = [&](int i) {
    PGconn* const c = PQconnectStart(where.c_str());
    for (auto next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK; next = PQconnectPoll(c)) {
      ASSERT_NE(next, PGRES_POLLING_FAILED) << PQerrorMessage(c);
      wait_for(c, next == PGRES_POLLING_READING);
    }
    ASSERT_EQ(PQsetnonblocking(c, 1), 0);
    const std::string query = "query " + std::to_string(i);
    ASSERT_EQ(PQsendQuery(c, query.c_str()), 1) << PQerrorMessage(c);
    while (PQflush(c) == 1) wait_for(c, false);
    while (PQisBusy(c) == 1) {
      wait_for(c, true);
      ASSERT_EQ(PQconsumeInput(c), 1) << PQerrorMessage(c);
    }
    PGresult* const r = PQgetResult(c);
    EXPECT_EQ(PQgetvalue(r, 0, 0), "answer to " + query);
    PQclear(r);
    PQfinish(c);
  };
  baton::run([&] {
    call_from_two_hundred(
        call, [&] { server.wait_until_held(); },
        [&] {
          const auto now = baton::stats();
          EXPECT_LT(now.threads - now.threads_idle, 50);
          server.release();
        });
  });
}

}  // namespace
