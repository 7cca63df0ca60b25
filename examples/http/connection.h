// One connection: reads requests, one after another, and has them answered.
#pragma once

#include "http/output.h"
#include "http/peer.h"
#include "http/request.h"
#include "http/request_parser.h"

#include <baton/baton.h>

#include <absl/status/statusor.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace http {

class server;

// A connection that goes on with another protocol.
struct upgraded {
  peer& stream;
  std::string received;  // what has come behind the request
};

class connection {
 public:
  connection(server& s, peer& stream);

  // Runs until the peer closes, asks to close, or breaks the protocol or a deadline, or until the server drains.
  // Switches.
  void run();

  // For the handler of a request. What it appends is sent when the handler has returned, or before that.
  [[nodiscard]] output& out() { return out_; }
  // Ends HTTP on this connection: the handler goes on with the stream, and the connection is closed when it returns.
  // The stream has a read deadline: replace it, and look at draining() after each time. Switches.
  [[nodiscard]] upgraded upgrade() {
    is_upgraded_ = true;
    out_.flush();
    return {stream_, std::string(unparsed())};
  }
  // Returns true once the server stops.
  [[nodiscard]] bool draining() const;

 private:
  // These return accepted, the status with which to refuse the request, or `over`: nothing more is to be sent.
  static constexpr int over = -1;
  [[nodiscard]] int receive(request& r);
  [[nodiscard]] int receive_head(request_parser& parser);
  [[nodiscard]] int receive_body(const request& r, request_parser& parser);
  [[nodiscard]] int receive_more();

  [[nodiscard]] bool answer(request& r);  // returns true if another request may follow
  void refuse(const request& r, int status);
  void linger();

  [[nodiscard]] std::string_view unparsed() const { return {buffer_.data() + begin_, end_ - begin_}; }
  void skip_empty_lines();
  [[nodiscard]] absl::StatusOr<std::size_t> fill();
  void read_within(std::chrono::milliseconds time);
  void wait_idle();

  static constexpr std::uint64_t body_max = 1024 * 1024;

  server& server_;
  peer& stream_;
  output out_;
  std::optional<std::chrono::steady_clock::time_point> idle_since_;  // while the idle deadline is in force
  bool is_upgraded_ = false;
  bool served_ = false;
  bool waits_ = false;               // for a request to begin
  bool begun_ = false;               // a part of it is there
  bool timed_ = false;               // the deadline in force is that request's
  std::string head_;                 // of the request: its views point into this
  std::size_t begin_ = 0, end_ = 0;  // the part of the buffer that is not parsed yet
  std::array<char, head_max> buffer_;
};

}  // namespace http
