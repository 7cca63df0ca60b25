// Answers every request with a greeting, a fiber for each connection. What hyper and Go answer to the same request:
// the same header fields, a body of 13 bytes.
//
//   baton_hello [port] [procs]     prints "port N"; port 0 or none: the kernel chooses one
#include "http_request.h"

#include "../server.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

namespace {

using bench::http::outcome;

class connection {
 public:
  explicit connection(baton::net::tcp_stream peer) : peer_(std::move(peer)) {}

  void run() {
    bench::http::request r;
    std::size_t size = 0;
    do {
      outcome o = parse(pending(), &r, &size);
      while (o == outcome::incomplete) {
        if (!receive()) return;
        o = parse(pending(), &r, &size);
      }
      if (o == outcome::bad || r.transfer_coded) {
        respond(r.transfer_coded ? "501 Not Implemented" : "400 Bad Request", "", false);
        return;
      }
      begin_ += size;
    } while (respond("200 OK", "Hello, World!", r.keep_alive) && r.keep_alive && skip(r.content_length));
  }

 private:
  [[nodiscard]] std::string_view pending() const { return {buffer_.data() + begin_, end_ - begin_}; }

  // More bytes; false: the stream has ended, or the head does not fit.
  bool receive() {
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const auto n = peer_.read(baton::bytes(buffer_).drop(end_));  // 0 if there is no room, too
    if (!n.ok() || *n == 0) return false;
    end_ += *n;
    return true;
  }

  bool skip(std::uint64_t body) {
    while (body > 0) {
      const std::size_t here = std::min<std::uint64_t>(body, end_ - begin_);
      begin_ += here;
      body -= here;
      if (body > 0 && !receive()) return false;
    }
    return true;
  }

  bool respond(std::string_view status, std::string_view body, bool keep_alive) {
    out_ = "HTTP/1.1 ";
    out_.append(status).append("\r\ncontent-type: text/plain\r\n");
    if (!keep_alive) out_.append("connection: close\r\n");
    out_.append("content-length: ").append(std::to_string(body.size())).append("\r\ndate: ").append(date());
    out_.append("\r\n\r\n").append(body);
    return peer_.write(baton::const_bytes(out_.data(), out_.size())).ok();
  }

  // Made again when the second has changed.
  std::string_view date() {
    const std::time_t now = std::time(nullptr);
    if (now != date_of_) {
      std::tm parts{};
      ::gmtime_r(&now, &parts);
      date_size_ = std::strftime(date_.data(), date_.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
      date_of_ = now;
    }
    return {date_.data(), date_size_};
  }

  baton::net::tcp_stream peer_;
  std::size_t begin_ = 0, end_ = 0;  // what of the buffer has not been read yet
  std::string out_;
  std::time_t date_of_ = -1;
  std::size_t date_size_ = 0;
  std::array<char, 40> date_{};
  std::array<char, 8 * 1024> buffer_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::serve_clients(argc, argv, [](baton::net::tcp_stream peer) { connection(std::move(peer)).run(); });
}
