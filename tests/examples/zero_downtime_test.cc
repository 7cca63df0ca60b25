// zero_downtime: the server is replaced under load, several times, and no client notices.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using baton_test::client;
using baton_test::program;

// The process that answers on a new connection.
int asked_on_a_new_connection(int port) {
  client c(port);
  c.send("who\n");
  const std::string line = c.receive_line();
  EXPECT_TRUE(line.ends_with(" who")) << line;
  return std::atoi(line.c_str());
}

TEST(ZeroDowntime, NoConnectionIsLost) {
  program server("zero_downtime", {"127.0.0.1:0"});
  const int port = server.port();
  client old(port);
  old.send("before\n");
  EXPECT_EQ(old.receive_line(), std::to_string(server.pid()) + " before");

  std::atomic<bool> over{false};
  std::atomic<int> answered{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!over && !testing::Test::HasFailure()) {
        try {
          EXPECT_NE(asked_on_a_new_connection(port), 0);
        } catch (const std::runtime_error& e) {
          ADD_FAILURE() << e.what();
        }
        ++answered;
      }
    });
  }
  // For a moment a server and its successor both accept, so an answer may still come from one that has been replaced.
  std::set<int> known{server.pid()};
  const auto until_a_new_one_answers = [&] {
    int now = 0;
    do {
      now = asked_on_a_new_connection(port);
    } while (known.contains(now) && !testing::Test::HasFailure());
    known.insert(now);
    return now;
  };
  int serving = server.pid();
  ::kill(serving, SIGHUP);
  serving = until_a_new_one_answers();
  old.send("after\n");
  EXPECT_EQ(old.receive_line(), std::to_string(server.pid()) + " after") << "an old connection stays where it is";
  old.half_close();
  EXPECT_EQ(old.rest(), "");
  // Not program::wait(): the successors have its output open.
  EXPECT_EQ(server.child_process::wait(), 0);
  for (int i = 0; i < 2; ++i) {
    ::kill(serving, SIGHUP);
    serving = until_a_new_one_answers();
  }
  over = true;
  for (std::thread& c : clients) c.join();
  EXPECT_GT(answered, 0);
  ::kill(serving, SIGTERM);
  for (bool listens = true; listens;) {  // the test is not its parent, and cannot wait for it
    try {
      const client c(port);
    } catch (const std::runtime_error&) {
      listens = false;
    }
  }
}

}  // namespace
