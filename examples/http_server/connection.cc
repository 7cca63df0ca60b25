// Requests that have arrived together (pipelining) are answered together: the responses go out when the
// buffer holds no further complete request, just before the connection waits for more.
//
// Deadlines. A connection may be idle for idle_timeout; once a request has begun, all of it must come
// within header_timeout. A request that comes in one piece, as most do, is never under the latter, and the
// idle deadline is moved on only when an eighth of it has passed: so most requests touch no timer.
#include "connection.h"

#include "routes.h"
#include "server.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/optional.hpp>

#include <cstdint>
#include <cstring>
#include <string_view>

namespace http_server {

namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using clock = std::chrono::steady_clock;

// Bodies are read and forgotten: no route wants one.
struct discarded_body {
  struct value_type {};
  class reader {
   public:
    template <bool IsRequest, class Fields>
    reader(http::header<IsRequest, Fields>&, value_type&) {}
    void init(const boost::optional<std::uint64_t>&, error_code& error) { error = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      return boost::asio::buffer_size(buffers);
    }
    void finish(error_code& error) { error = {}; }
  };
};

int status_of(error_code error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::body_limit) return 413;
  if (error == http::error::bad_version) return 505;
  return 400;
}

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct connection::parser : http::request_parser<discarded_body> {
  parser() {
    eager(true);  // put() goes on from the header to the body
    header_limit(connection::header_limit);
    body_limit(connection::body_limit);
  }
};

connection::connection(server& s, baton::net::tcp_stream& stream)
    : server_(s), stream_(stream), out_(stream, s.config().write_timeout) {}

void connection::run() {
  read_within(server_.config().header_timeout);
  for (bool more = true; more;) {
    parser p;  // Beast wants a new one for each request
    const int status = receive(p);
    if (status == over) return;
    if (status != complete) {
      refuse(status);
      return;
    }
    more = answer(p);
  }
  if (out_.flush() && begin_ < end_) linger();
}

int connection::receive(parser& p) {
  bool begun = false;
  for (;;) {
    const bool begins = !begun && begin_ < end_;
    if (begin_ < end_) {
      error_code error;
      begin_ += p.put(boost::asio::const_buffer(buffer_.data() + begin_, end_ - begin_), error);
      if (error && error != http::error::need_more) return status_of(error);
      if (p.is_done()) return complete;
      if (end_ - begin_ == buffer_.size()) return 431;
    }
    if (!out_.flush()) return over;
    if (begins) {
      begun = true;
      read_within(server_.config().header_timeout);
    } else if (!begun && served_) {
      wait_idle();
    }
    if (server_.draining()) return over;  // after the deadline was set: see server.cc

    const auto n = fill();
    if (n.ok() && *n > 0) continue;
    if (!begun || server_.draining()) return over;
    if (n.ok()) return 400;  // the stream has ended within a request
    return absl::IsDeadlineExceeded(n.status()) ? 408 : over;
  }
}

bool connection::answer(const parser& p) {
  const auto& message = p.get();
  const request r{.method = view(message.method_string()),
                  .target = view(message.target()),
                  .keep_alive = message.keep_alive() && !server_.draining(),
                  .http_1_0 = message.version() == 10};
  served_ = true;
  server_.count().requests.fetch_add(1, std::memory_order_relaxed);
  respond(server_, r, out_);
  return out_.flush_if_long() && r.keep_alive;
}

void connection::refuse(int status) {
  server_.count().refused.fetch_add(1, std::memory_order_relaxed);
  respond_with_error({}, status, out_);
  if (out_.flush()) linger();
}

// The peer may still be sending. If we closed now, the kernel would reset the connection, and the peer might
// lose the response that tells it why. So: say that this is the end, and read on for a while.
void connection::linger() {
  if (!stream_.close_write().ok()) return;
  read_within(std::chrono::seconds(1));
  do {
    begin_ = end_ = 0;
  } while (fill().value_or(0) > 0);
}

absl::StatusOr<std::size_t> connection::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  auto n = stream_.read(baton::bytes(buffer_).drop(end_));
  if (n.ok()) end_ += *n;
  return n;
}

void connection::read_within(std::chrono::milliseconds time) {
  stream_.set_read_deadline(clock::now() + time);
  idle_since_.reset();
}

void connection::wait_idle() {
  const auto now = clock::now();
  const auto idle = server_.config().idle_timeout;
  if (idle_since_ && now - *idle_since_ < idle / 8) return;
  stream_.set_read_deadline(now + idle);
  idle_since_ = now;
}

}  // namespace http_server
