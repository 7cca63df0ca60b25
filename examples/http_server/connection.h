// One connection: reads requests, one after another, and has them answered.
#pragma once

#include "output.h"

#include <baton/baton.h>

#include <absl/status/statusor.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>

namespace http_server {

class server;

class connection {
 public:
  connection(server& s, baton::net::tcp_stream& stream);

  // (S) Until the peer closes, asks to close, breaks the protocol or a deadline, or the server drains.
  void run();

 private:
  struct parser;
  // What receive() found: a whole request, or that nothing more is to be said; else it is the status with
  // which to refuse the request.
  static constexpr int complete = 0;
  static constexpr int over = -1;

  [[nodiscard]] int receive(parser& p);
  [[nodiscard]] bool answer(const parser& p);  // whether another request may follow
  void refuse(int status);
  void linger();

  [[nodiscard]] absl::StatusOr<std::size_t> fill();
  void read_within(std::chrono::milliseconds time);
  void wait_idle();

  static constexpr std::size_t header_limit = 8 * 1024;
  static constexpr std::size_t body_limit = 1024 * 1024;

  server& server_;
  baton::net::tcp_stream& stream_;
  output out_;
  std::optional<std::chrono::steady_clock::time_point> idle_since_;  // while the idle deadline is in force
  bool served_ = false;
  std::size_t begin_ = 0, end_ = 0;     // what of the buffer is not parsed yet
  std::array<char, 16 * 1024> buffer_;  // larger than header_limit: a whole header fits
};

}  // namespace http_server
