// hiredis, unmodified: BLPOP waits until another client pushes.
#include "held_server.h"
#include "two_hundred.h"

#include <baton/runtime/run.h>

#include <gtest/gtest.h>

#include <hiredis/hiredis.h>
#include <string>

namespace {

using namespace baton_test;

class redis : public protocol {
  std::string answer(std::string& in, bool& held) override {
    // *3 $5 BLPOP $n KEY $1 0, a line each
    std::vector<std::string> lines;
    std::size_t at = 0;
    for (std::size_t end = 0; (end = in.find("\r\n", at)) != std::string::npos; at = end + 2) {
      lines.push_back(in.substr(at, end - at));
    }
    if (lines.size() < 7) return {};
    in.clear();
    held = lines[2] == "BLPOP";
    const std::string value = "value of " + lines[4];
    return "*2\r\n" + lines[3] + "\r\n" + lines[4] + "\r\n$" + std::to_string(value.size()) + "\r\n" + value + "\r\n";
  }
};

TEST(Hiredis, TwoHundredFibersWaitInBlpop) {
  held_server server(two_hundred, [] { return std::make_unique<redis>(); });
  const auto call = [&](int i) {
    redisContext* const c = redisConnect("127.0.0.1", server.port());
    ASSERT_TRUE(c != nullptr && c->err == 0);
    for (int round = 0; round < 2; ++round) {
      const std::string key = "key" + std::to_string(i) + "." + std::to_string(round);
      auto* const r = static_cast<redisReply*>(redisCommand(c, "BLPOP %s 0", key.c_str()));
      ASSERT_NE(r, nullptr) << c->errstr;
      ASSERT_EQ(r->elements, 2U);
      EXPECT_EQ(r->element[1]->str, "value of " + key);
      freeReplyObject(r);
    }
    redisFree(c);
  };
  baton::run([&] { call_from_two_hundred(call, server); });
}

}  // namespace
