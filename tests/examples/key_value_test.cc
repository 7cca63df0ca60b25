// key_value: the protocol, byte by byte, and Redis's own clients against it.
#include "examples/filter.h"
#include "examples/program.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using baton_test::client;
using baton_test::filter;
using baton_test::program;

std::string array_of(const std::vector<std::string>& words) {
  std::string text = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& w : words) text += "$" + std::to_string(w.size()) + "\r\n" + w + "\r\n";
  return text;
}

// Sends the line as an array, and returns as many bytes as are expected.
std::string answer(client& c, const std::vector<std::string>& words, const std::string& expected) {
  c.send(array_of(words));
  return c.receive_exactly(expected.size());
}

class KeyValue : public testing::Test {
 protected:
  program server_{"key_value", {"127.0.0.1:0"}};
  client c_{server_.port()};
};

TEST_F(KeyValue, CommandsAndTheirReplies) {
  const struct {
    std::vector<std::string> request;
    std::string reply;
  } rows[] = {
      {{"PING"}, "+PONG\r\n"},
      {{"ping", "a b"}, "$3\r\na b\r\n"},
      {{"ECHO", ""}, "$0\r\n\r\n"},
      {{"GET", "none"}, "$-1\r\n"},
      {{"SET", "k", std::string("\r\n\0x", 4)}, "+OK\r\n"},
      {{"GET", "k"}, std::string("$4\r\n\r\n\0x\r\n", 10)},
      {{"SET", "k", "2", "NX"}, "$-1\r\n"},
      {{"SET", "k", "2", "XX", "GET"}, std::string("$4\r\n\r\n\0x\r\n", 10)},
      {{"SET", "k", "2", "EX"}, "-ERR syntax error\r\n"},
      {{"SET", "k", "2", "EX", "0"}, "-ERR invalid expire time in 'set' command\r\n"},
      {{"SET", "k", "2", "EX", "9223372036854775807"}, "-ERR value is not an integer or out of range\r\n"},
      {{"INCR", "k"}, ":3\r\n"},
      {{"DECRBY", "k", "5"}, ":-2\r\n"},
      {{"DECRBY", "k", "-9223372036854775808"}, "-ERR value is not an integer or out of range\r\n"},
      {{"SET", "big", "9223372036854775807"}, "+OK\r\n"},
      {{"INCR", "big"}, "-ERR increment or decrement would overflow\r\n"},
      {{"APPEND", "k", "x"}, ":3\r\n"},
      {{"INCR", "k"}, "-ERR value is not an integer or out of range\r\n"},
      {{"STRLEN", "k"}, ":3\r\n"},
      {{"TTL", "k"}, ":-1\r\n"},
      {{"EXPIRE", "k", "100"}, ":1\r\n"},
      {{"TTL", "k"}, ":100\r\n"},
      {{"PERSIST", "k"}, ":1\r\n"},
      {{"EXPIRE", "k", "0"}, ":1\r\n"},
      {{"EXISTS", "k", "big", "none"}, ":1\r\n"},
      {{"TTL", "k"}, ":-2\r\n"},
      {{"MSET", "a", "1", "b", "2"}, "+OK\r\n"},
      {{"MSET", "a", "1", "b"}, "-ERR wrong number of arguments for 'MSET' command\r\n"},
      {{"MGET", "a", "none", "b"}, "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n"},
      {{"DEL", "a", "b", "none"}, ":2\r\n"},
      {{"RPUSH", "l", "1", "2", "3"}, ":3\r\n"},
      {{"LPUSH", "l", "0"}, ":4\r\n"},
      {{"LRANGE", "l", "1", "-2"}, "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"},
      {{"LRANGE", "l", "-100", "100"}, "*4\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"},
      {{"LRANGE", "l", "3", "1"}, "*0\r\n"},
      {{"LRANGE", "none", "0", "-1"}, "*0\r\n"},
      {{"GET", "l"}, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"},
      {{"LPOP", "l"}, "$1\r\n0\r\n"},
      {{"RPOP", "l"}, "$1\r\n3\r\n"},
      {{"LLEN", "l"}, ":2\r\n"},
      {{"SADD", "s", "x", "x", "y"}, ":2\r\n"},
      {{"SISMEMBER", "s", "y"}, ":1\r\n"},
      {{"SREM", "s", "x", "z"}, ":1\r\n"},
      {{"SPOP", "s"}, "$1\r\ny\r\n"},
      {{"EXISTS", "s"}, ":0\r\n"},
      {{"HSET", "h", "f", "1", "g", "2"}, ":2\r\n"},
      {{"HSET", "h", "f", "3"}, ":0\r\n"},
      {{"HGET", "h", "f"}, "$1\r\n3\r\n"},
      {{"HDEL", "h", "f", "g"}, ":2\r\n"},
      {{"TYPE", "h"}, "+none\r\n"},
      {{"ZADD", "z", "2", "b", "1", "a", "1.5", "c"}, ":3\r\n"},
      {{"ZADD", "z", "0.5", "b"}, ":0\r\n"},
      {{"ZADD", "z", "nan", "b"}, "-ERR value is not a valid float\r\n"},
      {{"ZRANGE", "z", "0", "-1", "WITHSCORES"},
       "*6\r\n$1\r\nb\r\n$3\r\n0.5\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nc\r\n$3\r\n1.5\r\n"},
      {{"ZPOPMIN", "z"}, "*2\r\n$1\r\nb\r\n$3\r\n0.5\r\n"},
      {{"ZSCORE", "z", "c"}, "$3\r\n1.5\r\n"},
      {{"TYPE", "z"}, "+zset\r\n"},
      {{"KEYS", "?"}, "*2\r\n"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(testing::PrintToString(row.request));
    ASSERT_EQ(answer(c_, row.request, row.reply), row.reply);
  }
}

TEST_F(KeyValue, AValueWhoseTimeIsOverIsGone) {
  ASSERT_EQ(answer(c_, {"SET", "k", "v", "PX", "1"}, "+OK\r\n"), "+OK\r\n");
  std::string reply;
  do {  // the clock decides
    c_.send(array_of({"EXISTS", "k"}));
    reply = c_.receive_exactly(4);
  } while (reply == ":1\r\n");
  EXPECT_EQ(reply, ":0\r\n");
  EXPECT_EQ(answer(c_, {"INCR", "k"}, ":1\r\n"), ":1\r\n") << "a new value";
  EXPECT_EQ(answer(c_, {"TTL", "k"}, ":-1\r\n"), ":-1\r\n") << "without the former one's time";
}

TEST_F(KeyValue, RequestsMayComeByteByByteAndManyAtOnce) {
  const std::string request = array_of({"SET", "key", "value"}) + "PING\r\n\r\n" + array_of({}) + "  get \t key \n";
  const std::string reply = "+OK\r\n+PONG\r\n$5\r\nvalue\r\n";
  for (const char byte : request) c_.send(std::string(1, byte));
  EXPECT_EQ(c_.receive_exactly(reply.size()), reply);
  constexpr int times = 5'000;
  std::string all;
  std::string replies;
  for (int i = 0; i < times; ++i) {
    all += request;
    replies += reply;
  }
  std::thread sends([&] { c_.send(all); });
  EXPECT_TRUE(c_.receive_exactly(replies.size()) == replies);
  sends.join();
}

TEST_F(KeyValue, LargeValues) {
  const std::string value(3'000'000, 'v');
  std::thread sends([&] { c_.send(array_of({"SET", "k", value}) + array_of({"GET", "k"})); });
  const std::string expected = "+OK\r\n$3000000\r\n" + value + "\r\n";
  EXPECT_TRUE(c_.receive_exactly(expected.size()) == expected);
  sends.join();
}

TEST_F(KeyValue, AMalformedRequestEndsTheConnectionWithAReason) {
  const struct {
    std::string bytes;
    std::string reply;
  } rows[] = {
      {"*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
      {"*1048577\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
      {"*1\r\nPING\r\n", "-ERR Protocol error: expected '$'\r\n"},
      {"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
      {"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
      {"*1\r\n$4\r\nPING!!", "-ERR Protocol error: expected the end of a bulk string\r\n"},
      {std::string(70'000, 'x'), "-ERR Protocol error: too big inline request\r\n"},
      {"PING\r\nQUIT\r\nPING\r\n", "+PONG\r\n+OK\r\n"},
      {"NO\x1b\n", "-ERR unknown command 'NO'\r\n"},
  };
  for (const auto& row : rows) {
    client c(server_.port());
    c.send(row.bytes);
    c.half_close();
    EXPECT_EQ(c.rest(), row.reply) << row.bytes.substr(0, 40);
  }
}

// MSET is atomic, in whatever order two of them name the same keys.
TEST_F(KeyValue, SeveralKeysChangeTogether) {
  constexpr int rounds = 500;
  const auto write = [&](const std::string& value, bool reversed) {
    client c(server_.port());
    for (int i = 0; i < rounds; ++i) {
      std::vector<std::string> words = {"MSET"};
      for (int key = 0; key < 20; ++key) {
        words.push_back("key" + std::to_string(reversed ? 19 - key : key));
        words.push_back(value);
      }
      EXPECT_EQ(answer(c, words, "+OK\r\n"), "+OK\r\n");
    }
  };
  write("a", false);
  std::thread first([&] { write("a", false); });
  std::thread second([&] { write("b", true); });
  std::vector<std::string> words = {"MGET"};
  for (int key = 0; key < 20; ++key) words.push_back("key" + std::to_string(key));
  std::string all_a = "*20\r\n";
  std::string all_b = "*20\r\n";
  for (int key = 0; key < 20; ++key) {
    all_a += "$1\r\na\r\n";
    all_b += "$1\r\nb\r\n";
  }
  for (int i = 0; i < rounds; ++i) {
    const std::string got = answer(c_, words, all_a);
    ASSERT_TRUE(got == all_a || got == all_b) << got;
  }
  first.join();
  second.join();
}

std::string output_of(const std::string& command) {
  std::string text;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen((command + " 2>&1").c_str(), "r"), ::pclose);
  std::array<char, 4096> buffer;
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;)
    text.append(buffer.data(), n);
  return text;
}

TEST_F(KeyValue, RedissOwnClients) {
  if (std::system("command -v redis-cli redis-benchmark >/dev/null") != 0)
    GTEST_SKIP() << "redis-tools is not installed";
  const std::string at = " -p " + std::to_string(server_.port());
  EXPECT_EQ(output_of("redis-cli" + at + " set greeting hello"), "OK\n");
  EXPECT_EQ(output_of("redis-cli" + at + " get greeting"), "hello\n");
  const std::string report = output_of("redis-benchmark -q --csv -n 2000 -c 20" + at);
  EXPECT_NE(report.find("\"MSET (10 keys)\""), std::string::npos) << report;
  EXPECT_NE(report.find("\"ZPOPMIN\""), std::string::npos) << report;
  EXPECT_EQ(report.find("rror"), std::string::npos) << report;
  const std::string piped = output_of("redis-benchmark -q --csv -n 20000 -c 50 -P 16 -t set,get,incr" + at);
  EXPECT_NE(piped.find("\"INCR\""), std::string::npos) << piped;
}

TEST_F(KeyValue, ASignalEndsItWithClientsConnected) {
  client idle(server_.port());
  EXPECT_EQ(answer(c_, {"PING"}, "+PONG\r\n"), "+PONG\r\n");
  server_.terminate();
  EXPECT_EQ(server_.wait(), 0);
  EXPECT_EQ(idle.rest(), "");
}

}  // namespace
