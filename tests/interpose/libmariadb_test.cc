// libmariadb, the client of MySQL and MariaDB, unmodified.
#include "held_server.h"
#include "two_hundred.h"

#include <baton/runtime/run.h>

#include <gtest/gtest.h>

#include <mysql.h>
#include <string>

namespace {

using namespace baton_test;

std::string packet(int number, const std::string& body) {
  const std::size_t n = body.size();
  return {std::string{static_cast<char>(n & 255), static_cast<char>(n >> 8 & 255), static_cast<char>(n >> 16),
                      static_cast<char>(number)} +
          body};
}
std::string counted(const std::string& text) { return static_cast<char>(text.size()) + text; }

class mariadb : public protocol {
  std::string greeting() override {
    // Protocol 10; the capabilities: PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, CONNECT_WITH_DB, LONG_PASSWORD.
    using namespace std::string_literals;
    return packet(0, "\x0a"s + "5.7.0\0"s + "\1\0\0\0"s + "12345678\0"s + "\x09\x82"s + "\x21"s + "\2\0"s + "\x08\0"s +
                         "\x15"s + std::string(10, '\0') + "123456789012\0"s + "mysql_native_password\0"s);
  }
  std::string answer(std::string& in, bool& held) override {
    using namespace std::string_literals;
    if (in.size() < 4) return {};
    const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(in[i])); };
    const std::size_t size = byte(0) | byte(1) << 8 | byte(2) << 16;
    if (in.size() < 4 + size) return {};
    const std::string body = in.substr(4, size);
    in.erase(0, 4 + size);
    const std::string ok = "\0\0\0\2\0\0\0"s;
    if (!logged_in_) {
      logged_in_ = true;
      return packet(2, ok);
    }
    if (body.empty() || body[0] != 3) return {};  // no query: a client that quits
    held = true;
    const std::string column = counted("def") + counted("") + counted("") + counted("") + counted("text") +
                               counted("") + "\x0c\x21\0\xff\0\0\0\xfd\0\0\0\0\0"s;
    const std::string end = "\xfe\0\0\2\0"s;
    return packet(1, "\1") + packet(2, column) + packet(3, end) + packet(4, counted("answer to " + body.substr(1))) +
           packet(5, end);
  }

  bool logged_in_ = false;
};

TEST(Libmariadb, TwoHundredFibersWaitForAnAnswer) {
  ASSERT_EQ(mysql_library_init(0, nullptr, nullptr), 0);
  held_server server(two_hundred, [] { return std::make_unique<mariadb>(); });
  const auto call = [&](int i) {
    MYSQL* const c = mysql_init(nullptr);
    ASSERT_NE(mysql_real_connect(c, "127.0.0.1", "u", "", nullptr, static_cast<unsigned>(server.port()), nullptr, 0),
              nullptr)
        << mysql_error(c);
    for (int round = 0; round < 2; ++round) {
      const std::string query = "query " + std::to_string(i) + "." + std::to_string(round);
      ASSERT_EQ(mysql_real_query(c, query.data(), query.size()), 0) << mysql_error(c);
      MYSQL_RES* const r = mysql_store_result(c);
      ASSERT_NE(r, nullptr) << mysql_error(c);
      EXPECT_EQ(mysql_fetch_row(r)[0], "answer to " + query);
      mysql_free_result(r);
    }
    mysql_close(c);
  };
  baton::run([&] { call_from_two_hundred(call, server); });
}

}  // namespace
