// tcp_proxy between real servers and clients.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using baton_test::client;
using baton_test::program;

std::string at(const program& p) { return "127.0.0.1:" + std::to_string(p.port()); }

TEST(TcpProxy, PassesOnEverythingAndTheEndOfEachDirection) {
  program server("echo_server", {"127.0.0.1:0"});
  program proxy("tcp_proxy", {"127.0.0.1:0", "100", at(server)});
  std::string text;
  for (int i = 0; i < 600'000; ++i) text += std::to_string(i) + "\n";  // more than all buffers on the way hold
  client c(proxy.port());
  std::thread sends([&] {
    c.send(text);
    c.half_close();
  });
  EXPECT_TRUE(c.rest() == text);
  sends.join();
  EXPECT_TRUE(c.ended_in_order());
}

TEST(TcpProxy, ManyClientsAreSpreadOverTheServersThatAnswer) {
  program first("echo_server", {"127.0.0.1:0"});
  auto second = std::make_unique<program>("echo_server", std::vector<std::string>{"127.0.0.1:0"});
  program proxy("tcp_proxy", {"127.0.0.1:0", "100", at(first), at(*second)});
  const auto ask_on_new_connections = [&](int times) {
    for (int i = 0; i < times; ++i) {
      client c(proxy.port());
      c.send("hello\n");
      ASSERT_EQ(c.receive_line(), "hello");
    }
  };
  std::vector<std::unique_ptr<client>> open;
  for (int i = 0; i < 20; ++i) {
    open.push_back(std::make_unique<client>(proxy.port()));
    open.back()->send("x\n");
    ASSERT_EQ(open.back()->receive_line(), "x");
  }
  ask_on_new_connections(20);
  second->terminate();
  EXPECT_EQ(second->wait(), 0);
  ask_on_new_connections(20);  // the proxy finds out by itself
  int still_open = 0;
  for (auto& c : open) {
    c->send("y\n");
    if (c->receive_line() == "y") ++still_open;
  }
  EXPECT_EQ(still_open, 10) << "half of them were served by each server";
  proxy.terminate();
  EXPECT_EQ(proxy.wait(), 0);
}

TEST(TcpProxy, WithoutAServerItHangsUp) {
  int port = 0;
  {
    program gone("echo_server", {"127.0.0.1:0"});
    port = gone.port();
  }
  program proxy("tcp_proxy", {"127.0.0.1:0", "100", "127.0.0.1:" + std::to_string(port)});
  client c(proxy.port());
  EXPECT_EQ(c.rest(), "");
}

TEST(TcpProxy, ClientsOverTheLimitWaitTheirTurn) {
  program server("echo_server", {"127.0.0.1:0"});
  program proxy("tcp_proxy", {"127.0.0.1:0", "1", at(server)});
  auto one = std::make_unique<client>(proxy.port());
  one->send("one\n");
  EXPECT_EQ(one->receive_line(), "one");
  client two(proxy.port());
  two.send("two\n");
  one->send("one again\n");
  EXPECT_EQ(one->receive_line(), "one again");
  one.reset();
  EXPECT_EQ(two.receive_line(), "two");
}

}  // namespace
