// ws_chat, by frames of the test's own (RFC 6455).
#include "examples/program.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using baton_test::client;
using baton_test::program;

// The example of the RFC: this key has that answer.
const std::string upgrade =
    "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

enum opcode : unsigned char { text = 1, binary = 2, closes = 8, ping = 9, pong = 10 };

struct frame {
  int kind = 0;  // 0: the connection has ended
  std::string data;
};

class member {
 public:
  explicit member(int port, int receive_buffer = 0) : peer_(port, receive_buffer) {
    peer_.send(upgrade + "\r\n");
    const auto r = peer_.receive();
    EXPECT_EQ(r.status, 101) << r.header;
    EXPECT_NE(r.header.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos) << r.header;
  }
  // A client's frames are masked: here by zeros.
  static std::string framed(opcode kind, const std::string& data, bool masked = true) {
    std::string f(1, static_cast<char>(0x80 | kind));
    const auto mask = static_cast<char>(masked ? 0x80 : 0);
    if (data.size() < 126) {
      f += static_cast<char>(mask | static_cast<char>(data.size()));
    } else {
      f += static_cast<char>(mask | 126);
      f += static_cast<char>(data.size() >> 8);
      f += static_cast<char>(data.size() & 0xff);
    }
    return f + (masked ? std::string(4, '\0') : "") + data;
  }
  void send(const std::string& bytes) { peer_.send(bytes); }
  void say(const std::string& line) { send(framed(text, line)); }
  frame receive() {
    const std::string head = peer_.receive_exactly(2);
    if (head.size() < 2) return {};
    std::size_t size = static_cast<unsigned char>(head[1]) & 0x7f;
    if (size == 126) {
      const std::string more = peer_.receive_exactly(2);
      size = static_cast<unsigned char>(more[0]) * 256U + static_cast<unsigned char>(more[1]);
    }
    return {static_cast<unsigned char>(head[0]) & 0x0f, peer_.receive_exactly(size)};
  }
  std::string line() { return receive().data; }
  // Returns the code of the frame that closes, or 0.
  int close_code() {
    for (;;) {
      const frame f = receive();
      if (f.kind == 0) return 0;
      if (f.kind != closes) continue;
      return f.data.size() < 2 ? 1005
                               : static_cast<unsigned char>(f.data[0]) * 256 + static_cast<unsigned char>(f.data[1]);
    }
  }
  client& peer() { return peer_; }

 private:
  client peer_;
};

class WsChat : public testing::Test {
 protected:
  program server_{"ws_chat", {"--port", "0"}};
};

TEST_F(WsChat, MembersHearEachOther) {
  member a(server_.port());
  a.say("anna");
  EXPECT_EQ(a.line(), "* anna has joined");
  member b(server_.port());
  b.say("* admin");
  EXPECT_EQ(a.line(), "* guest has joined") << "nobody speaks as the room";
  EXPECT_EQ(b.line(), "* guest has joined");
  const std::string long_line(1'500, 'x');
  for (const std::string& said : {"hello"s, ""s, "gr\xc3\xbc\xc3\x9f"s, long_line}) {
    a.say(said);
    EXPECT_EQ(a.line(), "anna: " + said);
    EXPECT_EQ(b.line(), "anna: " + said);
  }
  b.send(member::framed(ping, "there?"));
  const frame answer = b.receive();
  EXPECT_EQ(answer.kind, pong);
  EXPECT_EQ(answer.data, "there?");
  // In pieces, two in one write, and a message in two frames.
  const std::string one = member::framed(text, "1");
  for (const char c : one) a.send(std::string(1, c));
  EXPECT_EQ(b.line(), "anna: 1");
  a.send(one + "\x01\x81\0\0\0\0"s + "t" + "\x80\x82\0\0\0\0"s + "wo");
  EXPECT_EQ(b.line(), "anna: 1");
  EXPECT_EQ(b.line(), "anna: two");
  b.send(member::framed(closes, "\x03\xe8"));
  EXPECT_EQ(b.close_code(), 1000);
  b.peer().half_close();
  EXPECT_EQ(b.peer().rest(), "");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(a.line().substr(0, 5), "anna:");
  EXPECT_EQ(a.line(), "* guest has left");
}

TEST_F(WsChat, ThePageAndWhatIsNoWebSocket) {
  client c(server_.port());
  EXPECT_NE(c.get("/").body.find("new WebSocket("), std::string::npos);
  EXPECT_EQ(c.get("/nothing").status, 404);
  EXPECT_EQ(c.get("/chat").status, 426);
  c.send(upgrade + "Origin: http://elsewhere\r\n\r\n");
  EXPECT_EQ(c.receive().status, 403);
  c.send(upgrade + "Origin: http://x\r\n\r\n");
  EXPECT_EQ(c.receive().status, 101);
  client old(server_.port());
  std::string other_version = upgrade + "\r\n";
  other_version.replace(other_version.find(": 13"), 4, ": 12");
  old.send(other_version);
  EXPECT_EQ(old.receive().status, 426);
}

TEST_F(WsChat, RefusesWhatBreaksTheProtocol) {
  member watches(server_.port());
  watches.say("w");
  EXPECT_EQ(watches.line(), "* w has joined");
  struct {
    std::string bytes;
    int code;
  } const rows[] = {
      {member::framed(text, "not masked", false), 1002},
      {member::framed(text, "\xff\xfe"), 1007},
      {member::framed(text, std::string(3'000, 'x')), 1009},
      {member::framed(binary, "x"), 1003},
      {"\xf1\x80\0\0\0\0"s, 1002},  // a bit that no extension has
      {"\x83\x80\0\0\0\0"s, 1002},  // no such kind
  };
  for (const auto& row : rows) {
    member m(server_.port());
    m.send(row.bytes);
    EXPECT_EQ(m.close_code(), row.code) << row.bytes;
    m.peer().half_close();
    EXPECT_EQ(m.peer().rest(), "");
  }
  for (const char* const cut : {"", "\x81", "\x81\x85zz"}) {
    member m(server_.port());
    m.send(cut);
    m.peer().reset();
  }
  watches.say("still here");
  EXPECT_EQ(watches.line(), "w: still here");
}

// A member that does not read costs a bounded amount of memory, and then it is gone.
TEST_F(WsChat, DropsAMemberThatDoesNotRead) {
  member slow(server_.port(), 4096);
  slow.say("slow");
  EXPECT_EQ(slow.line(), "* slow has joined");
  member fast(server_.port());
  fast.say("fast");
  EXPECT_EQ(fast.line(), "* fast has joined");
  const std::string much(1'900, 'm');
  for (int i = 0;; ++i) {
    ASSERT_LT(i, 100'000) << "some 200 MB for a member that does not read";
    fast.say(much);
    const std::string said = fast.line();
    if (said == "* slow has left") break;
    ASSERT_EQ(said, "fast: " + much);
  }
}

TEST_F(WsChat, SaysGoodbyeWhenItStops) {
  std::vector<member> all;
  for (int i = 0; i < 5; ++i) {
    all.emplace_back(server_.port());
    all.back().say("m");
    EXPECT_EQ(all.back().line(), "* m has joined");
  }
  member nameless(server_.port());
  client idle(server_.port());
  EXPECT_EQ(idle.get("/").status, 200);
  all.back().send("\x81");  // half a frame
  server_.terminate();
  for (member& m : all) {
    EXPECT_EQ(m.close_code(), 1001);
    m.send(member::framed(closes, "\x03\xe9"));
    m.peer().half_close();
    EXPECT_EQ(m.peer().rest(), "");
    EXPECT_TRUE(m.peer().ended_in_order());
  }
  EXPECT_EQ(nameless.close_code(), 1001);
  nameless.peer().half_close();
  EXPECT_EQ(idle.rest(), "");
  EXPECT_EQ(server_.wait(), 0);
}

// One that does not answer the goodbye is not waited for.
TEST_F(WsChat, StopsWithoutAnAnswer) {
  member mute(server_.port());
  mute.say("mute");
  EXPECT_EQ(mute.line(), "* mute has joined");
  server_.terminate();
  EXPECT_EQ(server_.wait(), 0);
}

}  // namespace
