// A server on loopback in a thread of its own, that answers when it is told to: the clients of a test all wait at the
// same time, for as long as the test wants. What it says is a protocol's, of which the libraries' tests have one each.
#pragma once

#include <baton/runtime/event.h>

#include <poll.h>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace baton_test {

// One connection's side of a protocol.
class protocol {
 public:
  virtual ~protocol() = default;
  // What the server says first.
  virtual std::string greeting() { return {}; }
  // Takes what it understands from the front of `in`, and returns the answer. If that is the answer to be held, sets
  // `held`.
  virtual std::string answer(std::string& in, bool& held) = 0;
  // What lies between the protocol and the socket: TLS, or nothing. Both take bytes and return what goes on.
  virtual std::string from_socket(const std::string& bytes) { return bytes; }
  // Also returns what the layer itself has to say.
  virtual std::string to_socket(const std::string& bytes) { return bytes; }
};

class held_server {
 public:
  // Holds that many answers, and then waits for release(). From then on it answers at once. Without `make` it is a
  // server that takes datagrams, and gives each to `reply`.
  held_server(int to_hold, std::function<std::unique_ptr<protocol>()> make);
  held_server(int to_hold, std::function<std::string(const std::string& query)> reply);
  ~held_server();
  held_server(const held_server&) = delete;
  held_server& operator=(const held_server&) = delete;

  [[nodiscard]] int port() const { return port_; }
  // Switches. Waits until all the answers are held.
  void wait_until_held() const { all_held_.wait(); }
  void release();

 private:
  struct connection;

  void open(int type);
  void serve();
  void take_connections();
  void take_datagrams();
  void read(connection& c);
  void hold();

  const int to_hold_;
  const std::function<std::unique_ptr<protocol>()> make_;
  const std::function<std::string(const std::string&)> reply_;
  int fd_ = -1;
  int port_ = 0;
  int wake_[2] = {-1, -1};
  int held_ = 0;
  mutable baton::event all_held_;
  std::atomic<bool> released_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::unique_ptr<connection>> connections_;
  std::vector<std::function<void()>> held_datagrams_;
  std::thread thread_;
};

}  // namespace baton_test
