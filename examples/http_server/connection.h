// One connection: reads requests, one after another, and writes their responses.
#pragma once

#include <baton/baton.h>

#include <array>
#include <cstddef>
#include <string>

namespace http_server {

class server;

class connection {
 public:
  connection(server& s, baton::net::tcp_stream& stream) : server_(s), stream_(stream) {}

  // Until the peer closes, asks to close, breaks the protocol or a deadline, or the server drains.
  void run();

 private:
  enum class next { another_request, close };

  [[nodiscard]] next serve_one();
  [[nodiscard]] bool fill();      // reads more into the buffer; false: the connection is over
  [[nodiscard]] bool flush();     // writes what has been answered
  void refuse(int status);

  static constexpr std::size_t header_limit = 8 * 1024;
  static constexpr std::size_t body_limit = 1024 * 1024;

  server& server_;
  baton::net::tcp_stream& stream_;
  std::string out_;                        // responses not written yet
  std::size_t begin_ = 0, end_ = 0;        // what of the buffer is unparsed
  bool first_ = true;
  std::array<char, 16 * 1024> buffer_;     // larger than header_limit: a whole header fits
};

}  // namespace http_server
