// chat, tested from outside: friendly clients, slow ones, hostile ones.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace {

using baton_test::client;
using baton_test::program;

// A member. All other members still have to read "* name is here".
client join(const program& server, const std::string& name, int receive_buffer = 0) {
  client c(server.port(), receive_buffer);
  EXPECT_EQ(c.receive_line(), "* your name?");
  c.send(name + "\n");
  EXPECT_EQ(c.receive_line(), "* " + name + " is here");
  return c;
}

std::vector<std::string> arguments(const std::string& policy = "skip") { return {"127.0.0.1:0", policy}; }

TEST(Chat, EverybodyGetsEveryLine) {
  program server("chat", arguments());
  client a = join(server, "ann");
  client b = join(server, "bob");
  EXPECT_EQ(a.receive_line(), "* bob is here");
  a.send("hello\r\nhow are you?\n");
  for (client* c : {&a, &b}) {
    EXPECT_EQ(c->receive_line(), "ann: hello");
    EXPECT_EQ(c->receive_line(), "ann: how are you?");
  }
  b.send("bye");
  b.half_close();  // the line that was begun counts as a line, then the stream has ended
  EXPECT_EQ(a.receive_line(), "bob: bye");
  EXPECT_EQ(a.receive_line(), "* bob has left");
  EXPECT_EQ(b.rest(), "bob: bye\n");
  EXPECT_TRUE(b.ended_in_order());
}

TEST(Chat, ManyTalkAtOnceAndAllSeeTheSameOrder) {
  program server("chat", arguments());
  constexpr int members = 20;
  constexpr int lines = 3;  // few enough that no outbox is full, however late its owner reads
  std::vector<client> all;
  for (int i = 0; i < members; ++i) {
    all.push_back(join(server, "m" + std::to_string(i)));
    for (int j = 0; j < i; ++j) {
      ASSERT_EQ(all[static_cast<std::size_t>(j)].receive_line(), "* m" + std::to_string(i) + " is here");
    }
  }
  for (int i = 0; i < members; ++i) {
    for (int l = 0; l < lines; ++l) all[static_cast<std::size_t>(i)].send("line " + std::to_string(l) + "\n");
  }
  std::string first;
  for (client& c : all) {
    std::string seen;
    for (int i = 0; i < members * lines; ++i) seen += c.receive_line() + "\n";
    EXPECT_EQ(seen.find("missed"), std::string::npos) << seen;
    if (first.empty()) first = seen;
    EXPECT_EQ(seen, first);
  }
}

TEST(Chat, OverlongLinesEndTheMemberWithAReason) {
  program server("chat", arguments());
  client witness = join(server, "witness");
  client long_name(server.port());
  long_name.send(std::string(100'000, 'n'));
  EXPECT_EQ(long_name.rest(), "* your name?\n* a line has more than 512 bytes\n");
  EXPECT_TRUE(long_name.ended_in_order());
  client talker = join(server, "talker");
  EXPECT_EQ(witness.receive_line(), "* talker is here");
  talker.send(std::string(512, 'x') + "\n" + std::string(1'000'000, 'y'));
  EXPECT_EQ(witness.receive_line(), "talker: " + std::string(512, 'x'));
  EXPECT_EQ(witness.receive_line(), "* talker has left");
  EXPECT_EQ(talker.receive_line(), "talker: " + std::string(512, 'x'));
  EXPECT_EQ(talker.rest(), "* a line has more than 512 bytes\n");
}

TEST(Chat, ControlCharactersAreDropped) {
  program server("chat", arguments());
  client c(server.port());
  EXPECT_EQ(c.receive_line(), "* your name?");
  c.send(std::string("e\x1b[2Jve\0\n", 9));
  EXPECT_EQ(c.receive_line(), "* e[2Jve is here");
  c.send("\x07 h\xc3\xa9 \x7f!\n");
  EXPECT_EQ(c.receive_line(), "e[2Jve:  h\xc3\xa9 !");
}

// Characters that control a terminal, change the direction of writing, or are invisible, and invalid UTF-8.
TEST(Chat, NothingReachesIntoTheTerminalsOfOthers) {
  program server("chat", arguments());
  client c = join(server, "ann");
  for (const char* const bad : {"\x1b[2J",
                                "\xc2\x9b"
                                "2J",
                                "\x9b"
                                "2J",
                                "\xe2\x80\xae", "\xe2\x80\x8b", "\xf3\xa0\x81\x81", "\xc3", "\xc0\x80", "\xed\xa0\x80",
                                "\xf8\x88\x80\x80\x80", "\xff\r\r"}) {
    c.send(std::string("a") + bad + "z\n");
    const std::string line = c.receive_line();
    EXPECT_EQ(line.substr(0, 6), "ann: a");
    EXPECT_EQ(line.back(), 'z');
    EXPECT_LE(line.size(), 10U) << bad;
    for (const char ch : line) EXPECT_TRUE(ch >= ' ' && ch < 0x7f) << bad;
  }
  c.send("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n");
  EXPECT_EQ(c.receive_line(), "ann: h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
}

// No client can speak as another member, or as the room.
TEST(Chat, NamesAreUniqueAndCannotForgeLines) {
  program server("chat", arguments());
  client ann = join(server, "ann");
  client other(server.port());
  EXPECT_EQ(other.receive_line(), "* your name?");
  for (const char* const bad : {"ann: hello", "* bob", "a b", "*"}) {
    other.send(std::string(bad) + "\n");
    EXPECT_EQ(other.receive_line(), "* a name has no ':', '*' or space; your name?") << bad;
  }
  for (const char* const same : {"ann", "a\x01nn\r"}) {
    other.send(std::string(same) + "\n");
    EXPECT_EQ(other.receive_line(), "* somebody has that name; your name?");
  }
  other.send(std::string(31, 'n') + "\xc3\xa9\n");
  EXPECT_EQ(other.receive_line(), "* " + std::string(31, 'n') + " is here") << "cut between characters";
  EXPECT_EQ(ann.receive_line(), "* " + std::string(31, 'n') + " is here");

  // Once the name is free another member can have it.
  ann.half_close();
  EXPECT_EQ(other.receive_line(), "* ann has left");
  client again = join(server, "ann");
}

TEST(Chat, ResetsEndOnlyTheirMember) {
  program server("chat", arguments());
  client witness = join(server, "witness");
  for (int i = 0; i < 20; ++i) {
    client c = join(server, "gone");
    EXPECT_EQ(witness.receive_line(), "* gone is here");
    c.send("half a li");
    c.reset();
    EXPECT_EQ(witness.receive_line(), "* gone has left");
    client nobody(server.port());
    nobody.reset();
  }
  witness.send("still here\n");
  EXPECT_EQ(witness.receive_line(), "witness: still here");
}

// Connections that never send anything keep neither others out nor the server from ending.
TEST(Chat, SilentConnectionsAreNoBurden) {
  program server("chat", arguments());
  std::vector<client> silent;
  for (int i = 0; i < 50; ++i) silent.emplace_back(server.port());
  for (client& c : silent) EXPECT_EQ(c.receive_line(), "* your name?");
  client a = join(server, "ann");
  silent[0].half_close();
  EXPECT_EQ(silent[0].rest(), "");
  server.terminate();
  EXPECT_EQ(a.receive_line(), "* the chat is over");
  a.half_close();
  EXPECT_EQ(a.rest(), "");
  EXPECT_EQ(server.wait(), 0);
  for (client& c : silent) EXPECT_EQ(c.rest(), "");
}

TEST(Chat, StopSaysAllThatWasSaid) {
  program server("chat", arguments());
  client a = join(server, "ann");
  client b = join(server, "bob");
  std::string said;
  for (int i = 0; i < 40; ++i) {
    a.send("line " + std::to_string(i) + "\n");
    said += "ann: line " + std::to_string(i) + "\n";
  }
  EXPECT_EQ(b.receive_exactly(said.size()), said);
  server.terminate();
  EXPECT_EQ(b.rest(), "* the chat is over\n");
  EXPECT_TRUE(b.ended_in_order());
  EXPECT_EQ(a.rest(), "* bob is here\n" + said + "* the chat is over\n");
  EXPECT_EQ(server.wait(), 0);
}

const std::string long_text(400, 't');

// With `skip` each line has come, or has been counted.
TEST(Chat, SlowReaderMissesLinesAndIsToldHowMany) {
  program server("chat", arguments("skip"));
  client slow = join(server, "slow", 4096);
  client fast = join(server, "fast");
  EXPECT_EQ(slow.receive_line(), "* fast is here");
  int said = 0;
  const auto say = [&] {
    fast.send(std::to_string(said) + " " + long_text + "\n");
    ASSERT_EQ(fast.receive_line(), "fast: " + std::to_string(said) + " " + long_text);
    ++said;
  };
  while (said < 3000) ASSERT_NO_FATAL_FAILURE(say());  // 1.2 MB: more than both kernels' ends and the outbox keep

  std::atomic<bool> told{false};
  std::thread reader([&] {
    int next = 0;
    while (!told) {
      const std::string line = slow.receive_line();
      int missed = 0;
      if (std::sscanf(line.c_str(), "* you missed %d lines", &missed) == 1) {
        EXPECT_GT(missed, 0);
        next += missed;
        const std::string after = slow.receive_line();
        EXPECT_EQ(after, "fast: " + std::to_string(next) + " " + long_text);
        told = true;
      } else if (line != "fast: " + std::to_string(next++) + " " + long_text) {
        ADD_FAILURE() << "unexpected: " << line.substr(0, 40);
        told = true;
      }
    }
  });
  while (!told && !testing::Test::HasFatalFailure()) say();
  reader.join();
}

TEST(Chat, SlowReaderIsDisconnectedIfThatIsThePolicy) {
  program server("chat", arguments("close"));
  client slow = join(server, "slow", 4096);
  client fast = join(server, "fast");
  for (int i = 0;; ++i) {
    ASSERT_LT(i, 100'000);
    fast.send(long_text + "\n");
    const std::string line = fast.receive_line();
    if (line == "* slow has left") break;
    ASSERT_EQ(line, "fast: " + long_text);
  }
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

// A client that does not read cannot hold up the end for long.
TEST(Chat, StopDoesNotWaitForThoseWhoDoNotRead) {
  program server("chat", arguments("skip"));
  client slow = join(server, "slow", 4096);
  client fast = join(server, "fast");
  for (int i = 0; i < 3000; ++i) {
    fast.send(long_text + "\n");
    ASSERT_EQ(fast.receive_line(), "fast: " + long_text);
  }
  server.terminate();
  EXPECT_EQ(fast.receive_line(), "* the chat is over");
  EXPECT_EQ(server.wait(), 0);
}

}  // namespace
